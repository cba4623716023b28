"""The demo."""

from __future__ import annotations

from pathlib import Path

from facezoo.cli.app import app


@app.command
def demo(out: Path = Path("demo"), /, *, identities: int = 150, images: int = 12, epochs: float = 10) -> None:
    """Train on rendered faces, evaluate, export, then detect, compare and search real photos; write one page.

    Takes less than five minutes on two cores and goes on where it was stopped.

    Args:
        out: folder for everything that is made.
        identities: rendered to train on; a third as many to test on.
        images: of each identity.
        epochs: of training.
    """
    from facezoo.demo import run_demo

    page = run_demo(out, identities, images, epochs)
    print(f"open {page}")
