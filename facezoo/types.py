"""The words the other modules share: images, faces, and what a model expects of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

Image: TypeAlias = NDArray[np.uint8]
"""uint8 RGB, (H, W, 3), the way a person sees it (EXIF orientation applied)."""

Crop: TypeAlias = NDArray[np.uint8]
"""An aligned face: uint8 RGB, (H, W, 3), 112 x 112 unless the model's contract says otherwise."""

FloatArray: TypeAlias = NDArray[np.floating[Any]]


class InputError(ValueError):
    """Something the user gave cannot be used: one sentence with what, where and what to do.

    The command line prints the sentence and exits with 2; everything else is a bug and keeps its trace.
    """


UNNAMED = "unnamed"
"""A contract's name until it has one; a model file's is then that of the file."""


@dataclass(frozen=True)
class Contract:
    """What an embedding model expects and gives; it is stored inside the model file.

    Attributes:
        name: what people call the model.
        input_size: height and width of a crop, pixels.
        color: channel order of the network's input.
        mean: subtracted per channel, on the 0..255 scale, in the network's channel order.
        std: divides after the mean, on the 0..255 scale.
        template: name of the alignment template, see `facezoo.align.TEMPLATES`.
        embedding_dim: D.
        flip: embed the crop and its mirror image and add the two raw embeddings.
        threshold: cosine from which two embeddings are taken for one person; None if never measured.
        license: of the weights.
        training_data: what the weights have seen.
        weights_sha256: digest of the weights this contract describes; checked at load.
    """

    name: str = UNNAMED
    input_size: tuple[int, int] = (112, 112)
    color: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    template: str = "arcface"
    embedding_dim: int = 512
    flip: bool = True
    threshold: float | None = None
    license: str = "unknown"
    training_data: str = "unknown"
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        if self.color not in ("rgb", "bgr"):
            raise InputError(f"contract: color is {self.color!r}, it must be 'rgb' or 'bgr'")
        if len(self.input_size) != 2 or min(self.input_size) < 1:
            raise InputError(f"contract: input_size is {self.input_size}, it must be (height, width)")
        if self.embedding_dim < 1:
            raise InputError(f"contract: embedding_dim is {self.embedding_dim}, it must be at least 1")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError("contract: mean and std must be three numbers each, std above 0")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Contract:
        """Build from a TOML or JSON table; unknown keys are refused."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"contract: unknown key {unknown[0]!r}; known keys: {', '.join(sorted(known))}")
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "value_error":  # of `__post_init__`, a sentence already
                raise InputError(str(first["ctx"]["error"])) from None
            raise InputError(f"contract: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    @classmethod
    def from_json(cls, text: str) -> Contract:
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"contract: the stored contract is not valid JSON ({error.msg})") from None
        if not isinstance(values, dict):
            raise InputError("contract: the stored contract is not a JSON object")
        return cls.from_dict(values)


@dataclass(frozen=True, eq=False)
class Face:
    """One face in an image.

    Attributes:
        box: x0, y0, x1, y1 in pixels; may reach beyond the image.
        score: the detector's confidence, 0..1.
        landmarks: (K, 2) pixels; K is 5: image-left eye, image-right eye, nose, mouth corners left, right.
        embedding: (D,) float32, not normalised; None before recognition.
        quality: larger is better; None where it was not asked for.
    """

    box: FloatArray
    score: float
    landmarks: FloatArray
    embedding: FloatArray | None = None
    quality: float | None = field(default=None)

    @property
    def area(self) -> float:
        x0, y0, x1, y1 = (float(v) for v in self.box)
        return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def unit(embeddings: FloatArray) -> FloatArray:
    """Rows of (N, D) divided by their L2 norm; a zero row stays zero."""
    embeddings = np.asarray(embeddings)
    norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return embeddings / np.where(norms == 0, 1, norms)
