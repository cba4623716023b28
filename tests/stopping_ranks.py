"""One of two processes in test_stopping: the first is told to stop, the second when that has been agreed on already."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from facezoo import distributed
from facezoo.stopping import Stopping


def main(state: str) -> None:
    with distributed.process_group("cpu"):
        try:
            with Stopping() as stopping:
                if distributed.is_first():
                    os.kill(os.getpid(), signal.SIGINT)
                assert stopping.asked()
                if distributed.is_first():
                    time.sleep(1)
                    Path(state).touch()
                else:
                    os.kill(os.getpid(), signal.SIGINT)
                stopping.end()
        except KeyboardInterrupt:
            sys.stdout.write("written" if Path(state).exists() else "nothing was written yet")
            raise SystemExit(128 + signal.SIGINT) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
