"""People for the tests: embeddings of them, crops with a pattern for a face, and models without weights that tell those
apart."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facezoo.evaluation import Verification
from facezoo.image import write_image
from facezoo.types import Contract

CONTRACT = 'name = "mosaic"\nembedding_dim = 192\nflip = false\n'


@pytest.fixture(scope="session")
def write_mosaic():
    """Writes a model that averages blocks of `tall` x 14 pixels of crops (3, height, 112)."""
    return _write_mosaic


def _write_mosaic(path, height, tall):
    nodes = [
        helper.make_node("AveragePool", ["crops"], ["pooled"], kernel_shape=[tall, 14], strides=[tall, 14]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    ends = [
        helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["batch", 3, height, 112]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3 * height // tall * 8]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, path.stem, ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory, write_mosaic):
    """A folder with mosaic.onnx, which averages 14 x 14 blocks, and contract.toml."""
    folder = tmp_path_factory.mktemp("work")
    write_mosaic(folder / "mosaic.onnx", 112, 14)
    (folder / "contract.toml").write_text(CONTRACT)
    return folder


@pytest.fixture(scope="session")
def write_patterns():
    """Writes crops `root/NAME/0.png`, .. of people whose face is a pattern of 8 x 8 blocks.

    Args of what is given:
        blocks, pixels: deviation of the noise of a photo's blocks, and of its pixels.
    """

    def write(root, names, photos=3, blocks=0, pixels=0):
        generator = np.random.default_rng(0)
        for name in names:
            pattern = generator.integers(0, 256, (8, 8, 3))
            for k in range(photos):
                seen = np.clip(pattern + generator.normal(0, blocks, pattern.shape), 0, 255) if blocks else pattern
                image = np.kron(seen, np.ones((14, 14, 1)))
                image = image + generator.normal(0, pixels, image.shape) if pixels else image
                write_image(root / name / f"{k}.png", image.clip(0, 255).astype(np.uint8))

    return write


@pytest.fixture(scope="session")
def drawn_people():
    """Gives embeddings (N, dim) of people with unequal numbers of photos, in mixed order, and who they are, (N,)."""

    def draw(seed=0, number=40, photos=5, dim=16, noise=0.8):
        generator = np.random.default_rng(seed)
        identity = np.repeat(np.arange(number), generator.integers(1, photos + 1, number))
        identity = generator.permutation(identity)
        centres = generator.normal(size=(number, dim))
        embeddings = centres[identity] + noise * generator.normal(size=(len(identity), dim))
        return embeddings.astype(np.float32), identity

    return draw


@pytest.fixture(scope="session")
def every_pair():
    """Gives score, kind, left and right photo of every pair of photos, (P,) each."""

    def pair(embeddings, identity, failed=None):
        left, right = np.triu_indices(len(identity), 1)
        same = identity[left] == identity[right]
        return Verification("all", [], left, right, same).scores(embeddings, failed), same, left, right

    return pair


PEOPLE, PHOTOS = 16, 3


class Rows:
    """Embeds some rows of a crop as they are."""

    contract = Contract(embedding_dim=1, flip=False)

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, crops):
        found = np.array([crop[self.rows, 8:-8:4].astype(np.float32).ravel() for crop in crops])
        return found - found.mean(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def eyes():
    """A model of the rows of a crop that a mask leaves."""
    return Rows(slice(36, 52, 2))


@pytest.fixture(scope="session")
def mouth():
    """A model of the rows of a crop that a mask covers."""
    return Rows(slice(76, 104, 2))


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Crops of people who differ in a pattern all over the face, and a list of pairs, genuine and impostor in turns."""
    root, rng = tmp_path_factory.mktemp("people") / "crops", np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = np.kron(rng.normal(0, 30, (14, 14, 3)), np.ones((8, 8, 1)))
        for photo in range(PHOTOS):
            crop = np.array([170, 135, 115]) + pattern + rng.normal(0, 12, pattern.shape)
            path = root / f"p{person}/p{person}_{photo + 1:04d}.png"
            write_image(path, crop.clip(0, 255).astype(np.uint8))
            path.rename(path.with_suffix(".jpg"))  # LFW's names; the content is told by itself
    lines = [f"2\t{PEOPLE // 2}"]
    for fold in range(2):
        own = range(fold * PEOPLE // 2, (fold + 1) * PEOPLE // 2)
        lines += [f"p{k}\t1\t2" for k in own]
        lines += [f"p{k}\t1\tp{(k + 1) % PEOPLE}\t3" for k in own]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root
