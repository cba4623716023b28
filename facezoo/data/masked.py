"""A dataset whose faces wear something, put on when an image is read."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from facezoo.data.dataset import Dataset
from facezoo.data.opening import open_dataset
from facezoo.data.pairs import Pairs
from facezoo.data.problems import Problems
from facezoo.image import decode_image, encode_jpeg
from facezoo.registry import DATASETS
from facezoo.types import Crop, InputError

if TYPE_CHECKING:
    from facezoo.mask.meshes import Meshes

TEMPLATES = ("surgical", "n95", "cloth", "gaiter")
"""As `facezoo.mask.outfit.TEMPLATES`, which is not imported for a signature: data come first."""


@DATASETS.register(name="masked")
class Masked(Dataset):
    """Faces of another dataset with masks or other things, by meshes that `facezoo mask meshes` has found.

    What a face wears follows from seed, image and variant: every epoch and every machine sees the same.

    Args:
        data: the dataset, a path or a spec.
        meshes: folder of its meshes.
        templates: spec strings of what is worn, each as likely: `templates=["surgical:color=blue","n95"]`.
        probability: that an image is changed; all its faces are then.
        variants: so many samples of each image, each with its own draw.
        pieces: different pieces drawn of each template.
        missing: images without a mesh stay plain, or are left out.
        seed: other seeds draw otherwise.

    Raises:
        InputError: meshes of other data, an unknown template, or an option out of range.
    """

    def __init__(
        self,
        data: str,
        meshes: Path,
        templates: tuple[str, ...] = TEMPLATES,
        probability: float = 1.0,
        variants: int = 1,
        pieces: int = 16,
        missing: Literal["plain", "drop"] = "plain",
        seed: int = 0,
    ) -> None:
        from facezoo.mask.meshes import Meshes
        from facezoo.mask.outfit import Outfit

        if not 0 <= probability <= 1 or variants < 1 or seed < 0:
            raise InputError(
                f"masked: probability is {probability} (0 to 1), variants {variants} (1 or more), seed {seed} (0 "
                "or more)"
            )
        self.base, self.of = open_dataset(data), data
        self.outfit = Outfit(tuple(templates), pieces)
        self.probability, self.variants, self.missing, self.seed = probability, variants, missing, seed
        self.meshes: Meshes = Meshes(Path(meshes))
        self.meshes.check(self.base)
        kept = np.arange(len(self.base))
        if missing == "drop":
            kept = np.unique(self.meshes.images)
            if not len(kept):
                raise InputError(f"{meshes}: no face was found in any image, so none can be masked")
        self._source = np.repeat(kept, variants)
        used, codes = np.unique(self.base.labels[self._source], return_inverse=True)
        self.labels = codes.astype(np.int64)
        self.classes = [self.base.classes[label] for label in used]
        self.problems = Problems(len(self.base))
        if self.base.shards is not None:
            self.shards = self.base.shards[self._source]
        if self.base.weights is not None:
            self.weights = self.base.weights[self._source] / variants
        if self.base.spaces is not None:
            self.spaces = self.base.spaces[used]
        if self.base.source is not None:
            self.source = self.base.source[self._source]

    def _of(self, index: int) -> tuple[int, int]:
        """Number of the image and of its variant."""
        return int(self._source[index]), index % self.variants

    def read(self, index: int) -> Crop:
        image, variant = self._of(index)
        return self._worn(self.base.read(image), image, variant)

    def encoded(self, index: int) -> bytes:
        """As a JPEG; the bytes of the source where nothing is worn."""
        image, variant = self._of(index)
        data = self.base.encoded(image)
        plain = decode_image(data, self.base.name(image))
        worn = self._worn(plain, image, variant)
        return data if worn is plain else encode_jpeg(worn)

    def _worn(self, plain: Crop, image: int, variant: int) -> Crop:
        rng = np.random.default_rng([self.seed, image, variant])
        if rng.random() >= self.probability:
            return plain
        return self.outfit.put_on(plain, self.meshes.of(image), rng)[0]

    def name(self, index: int) -> str:
        return self.base.name(self._of(index)[0])

    def path(self, index: int) -> str:
        image, variant = self._of(index)
        path = PurePosixPath(self.base.path(image))
        if self.variants == 1:
            return path.as_posix()
        return path.with_name(f"{path.stem}_{variant + 1}{path.suffix}").as_posix()

    def origin(self, index: int) -> str:
        return self.base.origin(self._of(index)[0])

    def stamp(self) -> str:
        return self.base.stamp()

    def pairs(self) -> Pairs | None:
        """Those of the source of which both images are here; of several variants, each with its own kind."""
        pairs = self.base.pairs()
        if pairs is None:
            return None
        left, right, same = pairs.among(self._source[:: self.variants], len(self.base))
        variants = np.arange(self.variants)
        left, right = ((each[:, None] * self.variants + variants).ravel() for each in (left, right))
        return Pairs(left, right, np.repeat(same, self.variants))

    def digest(self) -> str:
        options = (
            self.outfit.digest(),
            self.probability,
            self.variants,
            self.missing,
            self.seed,
            self.meshes.settings(),
        )
        return sha256(f"{super().digest()} {self.base.digest()} {options}".encode()).hexdigest()
