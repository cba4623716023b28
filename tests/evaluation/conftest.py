"""A model without weights, for what is told through files; and crops of people for masks, with a model that looks at
some of their rows."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facezoo.image import write_image
from facezoo.types import Contract

CONTRACT = 'name = "mosaic"\nembedding_dim = 192\nflip = false\n'


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """A folder with mosaic.onnx, which averages 14 x 14 blocks, and contract.toml."""
    folder = tmp_path_factory.mktemp("work")
    nodes = [
        helper.make_node("AveragePool", ["crops"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    ends = [
        helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["batch", 3, 112, 112]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 192]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "mosaic", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, str(folder / "mosaic.onnx"))
    (folder / "contract.toml").write_text(CONTRACT)
    return folder


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
