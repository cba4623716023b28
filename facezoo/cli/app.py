"""The command line's one `App`, and how it reports errors."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, NoReturn

from cyclopts import App, CycloptsError

from facezoo import __version__, progress
from facezoo.files import unreadable
from facezoo.types import InputError

app = App(
    name="facezoo",
    version=__version__,
    help="Face recognition: train, evaluate, export, detect, align, search.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

TRAIN_EXTRA = ("torch", "torchvision", "timm", "tensorboard", "safetensors", "onnxscript", "yaml")
"""What a command may import that only the train extra installs."""

RANK = os.environ.get("RANK", "0")
"""Of the processes that torchrun started."""

USAGE = 2
"""Exit code when something the user gave cannot be used."""


def fail(message: str) -> NoReturn:
    print(f"facezoo: {'' if RANK == '0' else f'process {RANK}: '}{message}", file=sys.stderr)
    raise SystemExit(USAGE)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def main(tokens: list[str] | None = None) -> None:
    """Run one command; what the user gave wrong is one sentence on standard error and exit code 2."""
    progress.show()
    logging.basicConfig(format="%(message)s", handlers=[progress.Lines()])
    logging.getLogger("facezoo").setLevel(logging.INFO)  # what other libraries tell about themselves helps nobody
    try:
        app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        command = " ".join(["facezoo", *(error.command_chain or ())])
        fail(f"{' '.join(str(error).split())} (see {command} --help)")
    except InputError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in TRAIN_EXTRA:
            raise
        fail(f'this needs {error.name}, which the runtime leaves out: pip install "facezoo[train]"')
    except BrokenPipeError:  # the reader, such as head, has seen enough; the flush at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + 13) from None
    except OSError as error:
        if error.filename is None:
            raise
        fail(str(unreadable(error.filename, error)))
    except KeyboardInterrupt:
        if RANK == "0":
            print("facezoo: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
