"""Crops of one template for a model of another."""

import numpy as np
import pytest

from facezoo.align import align, template_points
from facezoo.embedder import Embedder
from facezoo.evaluation.feature_file import FeatureFile
from facezoo.extract import extract, open_source
from facezoo.image import read_image, write_image
from facezoo.types import Contract, InputError

CONTRACT = Contract("dlib-like", (150, 150), template="dlib", embedding_dim=75, flip=False)


class Mosaic(Embedder):
    """Means of 30 x 30 blocks."""

    def forward(self, batch):
        return batch.reshape(len(batch), 3, 5, 30, 5, 30).mean(axis=(3, 5)).reshape(len(batch), 75)


@pytest.fixture
def crops(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        side = 112 if number else 128  # a crop of another size has its template there
        write_image(tmp_path / "crops" / "somebody" / f"{number}.png", rng.integers(0, 256, (side, side, 3), np.uint8))
    return tmp_path / "crops"


def test_crops_are_moved_to_the_template_of_the_model(crops, tmp_path):
    extract(open_source(str(crops), "arcface"), Mosaic(CONTRACT), tmp_path / "out", model="x")

    stored = FeatureFile(tmp_path / "out")
    images = [read_image(crops / "somebody" / f"{number}.png") for number in range(3)]
    moved = [align(image, template_points("arcface", image.shape[:2]), "dlib", (150, 150)) for image in images]
    np.testing.assert_allclose(stored.embeddings, Mosaic(CONTRACT)(moved), atol=1e-6)
    assert stored.header.alignment == "crops aligned to template arcface, moved to template dlib at 150 x 150"
    assert stored.header.contract == CONTRACT


def test_those_of_a_benchmark_are_not(crops, tmp_path):
    for person in "ab":
        write_image(tmp_path / "set" / person / "1.png", read_image(crops / "somebody" / "1.png"))
        write_image(tmp_path / "set" / person / "2.png", read_image(crops / "somebody" / "2.png"))
    benchmark = open_source(f"folder:root={tmp_path / 'set'},aligned=arcface,folds=2")
    with pytest.raises(InputError, match="wants crops aligned to 'dlib'"):
        extract(benchmark, Mosaic(CONTRACT), tmp_path / "out", model="x")
