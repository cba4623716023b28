"""How the projects that write checkpoints feed their networks, and by what their files are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Preprocessing:
    """Channel order and (x - mean) / std on the 0..255 scale."""

    color: Literal["rgb", "bgr"]
    mean: float = 127.5
    std: float = 127.5

    def sentence(self) -> str:
        return f"{self.color.upper()}, (x - {self.mean:g}) / {self.std:g}"


PROJECTS = {
    "FaceX-Zoo": Preprocessing("bgr", std=128.0),
    "face.evoLVe": Preprocessing("rgb"),
    "TFace": Preprocessing("rgb"),
    "insightface": Preprocessing("rgb"),
    "AdaFace": Preprocessing("bgr"),
    "CVLface": Preprocessing("rgb"),
    "MagFace": Preprocessing("bgr", mean=0.0, std=255.0),
    "facenet-pytorch": Preprocessing("rgb", std=128.0),
    "EdgeFace": Preprocessing("rgb"),
}

UNKNOWN = Preprocessing("rgb")
"""Of projects that the table does not name: what most use."""

FLAVORS = {
    "facexzoo": ("FaceX-Zoo", "face.evoLVe"),
    "tface": ("TFace", "AdaFace", "CVLface"),
}
"""Which projects build a backbone in the flavor of a spec string."""

SIGNS = (
    ("state_dict_backbone.", "insightface"),
    ("feat_net.", "FaceX-Zoo"),
    ("features.module.", "MagFace"),
    ("module.features.", "MagFace"),
    ("backbone.", "FaceX-Zoo"),
    ("model.", "AdaFace"),
    ("net.", "CVLface"),
)
"""Prefixes of a backbone's tensors and the project that writes them; the first that is found counts.

FaceX-Zoo's files are also known by the `batch_id` beside the state dict.
"""

PLAIN = ("face.evoLVe", "TFace", "insightface", "facenet-pytorch", "EdgeFace")
"""Projects that publish state dicts without any prefix."""

PARALLEL = ("FaceX-Zoo", "TFace")
"""Projects that write state dicts of DataParallel, all names with `module.`."""


@dataclass(frozen=True)
class Origin:
    """Whose file it is.

    Attributes:
        projects: those that may have written it, the likeliest first.
        preprocessing: of the likeliest.
        guessed: others among them feed their networks otherwise.
    """

    projects: tuple[str, ...]
    preprocessing: Preprocessing
    guessed: bool


def origin(writers: Iterable[str], flavor: str, prefix: str, top: Iterable[str]) -> Origin:
    """Who wrote a file, by the layout and flavor of its backbone and by its wrapping.

    Args:
        writers: projects of the layout that its tensors' names have.
        flavor: of the backbone; empty where it has none.
        prefix: what stood before the names of the backbone's tensors, with the dot.
        top: names at the top of the file.
    """
    possible = tuple(writers)
    if flavor in FLAVORS:
        possible = tuple(name for name in possible if name in FLAVORS[flavor]) or possible
    signs = [project for sign, project in SIGNS if sign in prefix] + ["FaceX-Zoo"] * ("batch_id" in top)
    certain = next((project for project in signs if project in possible), None)
    if certain is not None:
        return Origin((certain,), PROJECTS[certain], guessed=False)
    weak = PARALLEL if prefix == "module." else PLAIN
    ordered = tuple(sorted(possible, key=lambda name: name not in weak))
    feeds = [PROJECTS.get(name, UNKNOWN) for name in ordered]
    known = bool(ordered) and all(name in PROJECTS for name in ordered)
    return Origin(ordered, feeds[0] if feeds else UNKNOWN, guessed=not known or len(set(feeds)) > 1)
