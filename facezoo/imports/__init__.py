"""Checkpoints of other projects as model files of ours."""

from facezoo.imports.convert import Feed, Imported, import_checkpoint
from facezoo.imports.detect import Match, detect

__all__ = ["Feed", "Imported", "Match", "detect", "import_checkpoint"]
