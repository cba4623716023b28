"""`facezoo` and `python -m facezoo`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a Ctrl-C while its parts are still imported ends it in the same words as a later one."""
    try:
        from facezoo.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("facezoo: interrupted\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
