"""The orderly end of a run that is told to stop: by Ctrl-C, or by the SIGTERM that clusters send before they kill."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any, NoReturn

import torch

from facezoo import distributed

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """A context in which the first SIGINT or SIGTERM is a wish, for the loop to heed between two steps.

    A second Ctrl-C ends at once; further SIGTERMs, which launchers and schedulers both send, change nothing. Handlers
    belong to the main thread: in another one signals do what they always do. So does a signal that is ignored, as
    shells let commands in the background do with SIGINT.
    """

    def __init__(self) -> None:
        self._told = self._agreed = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not Python's, could not be put back
                    self._before[number] = signal.signal(number, self._wish)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _wish(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._told:
            raise KeyboardInterrupt
        self._told = self._told or number
        again = "; Ctrl-C again ends at once" if number == signal.SIGINT else ""
        log.info("%s: the run ends after this step and saves its state%s", signal.Signals(number).name, again)

    def asked(self) -> bool:
        """Whether any rank was told to stop; all ranks ask together, once a step, and get one answer."""
        # What this rank was told stands by itself: its first Ctrl-C may come after another rank's has been agreed on.
        self._agreed = int(distributed.largest(torch.tensor(self._told))) if distributed.ranks() > 1 else self._told
        return self._agreed != 0

    def end(self) -> NoReturn:
        """Leave the run as the signal would have, with the exit code that shells and schedulers know it by.

        All ranks leave together: a launcher kills the others when one has ended, and the first may be still writing.
        """
        distributed.barrier()
        if self._agreed == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self._agreed)
