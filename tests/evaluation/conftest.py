"""A model without weights, for what is told through files."""

import onnx
import pytest
from onnx import TensorProto, helper

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
