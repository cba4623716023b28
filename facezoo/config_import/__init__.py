"""Configs of other training projects as ours: arcface_torch, FaceX-Zoo, TFace, face.evoLVe. Nothing in them is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomli_w

from facezoo.config import Config
from facezoo.config_import import arcface_torch, evolve, facexzoo, tface
from facezoo.config_import.python_file import assigned, attributes, parse_python
from facezoo.config_import.translation import Translation
from facezoo.config_import.yaml_file import read_yaml
from facezoo.types import InputError

Project = Literal["arcface_torch", "facexzoo", "tface", "evolve"]


@dataclass(frozen=True)
class Imported:
    """A config of ours, and what was made of theirs.

    Attributes:
        project: whose config it was.
        config: checked, every default filled in.
        values: what was set, by section.
        took, left: a line on each of its entries.
        classes, images: of the data, where the config tells; 0 elsewhere.
    """

    project: str
    config: Config
    values: dict[str, dict[str, Any]]
    took: list[str]
    left: list[str]
    classes: int
    images: int

    def toml(self) -> str:
        """What was set; what was not translated stands above it as comments."""
        comment = [f"# Imported from a config of {self.project}.", *(f"# Not translated: {line}" for line in self.left)]
        return "\n".join(comment) + "\n" + tomli_w.dumps({"name": self.config.name, **self.values})


def import_config(paths: Sequence[Path], name: str, gpus: int = 8, backbone: str = "", head: str = "") -> Imported:
    """Translate the config in one or several files.

    Args:
        paths: a config of arcface_torch (base.py first, if given), the two YAML files of FaceX-Zoo and its train.sh,
            TFace's train.yaml, or face.evoLVe's config.py.
        name: of the run.
        gpus: that arcface_torch's and TFace's batch is for each of.
        backbone, head: of FaceX-Zoo's files, instead of those in train.sh.

    Raises:
        InputError: a file is of no known kind, or an entry cannot be.
    """
    if not 1 <= gpus <= 1 << 16:
        raise InputError(f"gpus is {gpus}, it must be 1 or more")
    project = detect(paths)
    if (backbone or head) and project != "facexzoo":
        raise InputError(f"--backbone and --head choose among FaceX-Zoo's entries; this is a config of {project}")
    made = _translated(project, list(paths), gpus, backbone, head)
    config = made.config(name)
    took, left = (list(map(_line, lines)) for lines in (made.took, made.left))
    return Imported(made.project, config, made.values, took, left, made.classes, made.images)


def detect(paths: Sequence[Path]) -> Project:
    """Whose config it is, by what is in the files.

    Raises:
        InputError: nobody's that is known.
    """
    if not paths:
        raise InputError("no config file is given")
    suffixes = {path.suffix.lower() for path in paths}
    if suffixes == {".py"}:
        if attributes(parse_python(paths[-1]), "config"):
            return "arcface_torch"
        if isinstance(assigned(parse_python(paths[-1]), "configurations"), dict):
            return "evolve"
        raise InputError(f"{paths[-1]}: neither config.NAME = value (arcface_torch) nor configurations (face.evoLVe)")
    if suffixes <= {".yaml", ".yml", ".sh"}:
        if len(paths) == 1 and ".sh" not in suffixes and "BACKBONE_NAME" in read_yaml(paths[0]):
            return "tface"
        return "facexzoo"
    raise InputError(f"{paths[0]}: a config is .py (arcface_torch, face.evoLVe) or .yaml and .sh (FaceX-Zoo, TFace)")


def _translated(project: Project, paths: list[Path], gpus: int, backbone: str, head: str) -> Translation:
    if project == "arcface_torch":
        return arcface_torch.translate(arcface_torch.read(paths), gpus)
    if project == "facexzoo":
        return facexzoo.translate(facexzoo.read(paths), backbone, head)
    if len(paths) > 1:
        raise InputError(f"{paths[1]}: a config of {project} is one file")
    if project == "tface":
        return tface.translate(tface.read(paths[0]), gpus)
    return evolve.translate(evolve.read(paths[0]))


def _line(text: str) -> str:
    """The text as one line that may stand in a comment."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
