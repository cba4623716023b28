"""The `facezoo` command: one module per group of commands, each a typed function whose docstring is its help."""

from facezoo.cli import (
    demo,
    evaluate,
    gallery,
    head,
    imports,
    info,
    listing,
    preview,
    sdk,
    synth,
    train,
)
from facezoo.cli.app import app, main

__all__ = [
    "app",
    "demo",
    "evaluate",
    "gallery",
    "head",
    "imports",
    "info",
    "listing",
    "main",
    "preview",
    "sdk",
    "synth",
    "train",
]
