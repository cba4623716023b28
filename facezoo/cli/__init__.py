"""The `facezoo` command: one module per group of commands, each a typed function whose docstring is its help."""

from facezoo.cli import (
    compare_models,
    convert,
    curate,
    demo,
    doctor,
    evaluate,
    extract,
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
    "compare_models",
    "convert",
    "curate",
    "demo",
    "doctor",
    "evaluate",
    "extract",
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
