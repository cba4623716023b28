"""The `facezoo` command: one module per group of commands, each a typed function whose docstring is its help."""

from facezoo.cli import (
    convert,
    curate,
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
    threshold,
    train,
)
from facezoo.cli.app import app, main

__all__ = [
    "app",
    "convert",
    "curate",
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
    "threshold",
    "train",
]
