"""The command line's one `App`, and how it reports errors."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, NoReturn

from cyclopts import App, CycloptsError

from facezoo import __version__, progress
from facezoo.types import InputError

app = App(
    name="facezoo",
    version=__version__,
    help="Face recognition: train, evaluate, export, detect, align, search.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

USAGE = 2
"""Exit code when something the user gave cannot be used."""


def fail(message: str) -> NoReturn:
    print(f"facezoo: {message}", file=sys.stderr)
    raise SystemExit(USAGE)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def main(tokens: list[str] | None = None) -> None:
    """Run one command; what the user gave wrong is one sentence on standard error and exit code 2."""
    progress.show()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        fail(f"{' '.join(str(error).split())} (see facezoo --help)")
    except InputError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("facezoo: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
