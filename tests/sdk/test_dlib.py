import struct

import numpy as np
import pytest

from facezoo import zoo
from facezoo.contract import onnx_digest
from facezoo.embedder import load_embedder
from facezoo.image import read_image
from facezoo.sdk import FaceAnalyzer
from facezoo.sdk.dlib_file import Reader
from facezoo.sdk.dlib_resnet import CONTRACT, dlib_onnx, write_onnx
from facezoo.types import InputError


def integer(value: int, size: int = 1) -> bytes:
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def tensor(array: np.ndarray) -> bytes:
    shape = b"".join(integer(side, 2) for side in array.shape)
    return integer(2) + shape + array.astype("<f4").tobytes()


def tag(text: str) -> bytes:
    return integer(len(text)) + text.encode()


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"\x01\x00", 0), (b"\x01\x07", 7), (b"\x81\x07", -7), (b"\x02\x2c\x01", 300), (b"\x83\x01\x00\x01", -65537)],
)
def test_integers_are_sign_and_magnitude(data, value):
    assert Reader(data).integer() == value


@pytest.mark.parametrize("value", [0.0, 1.0, -0.375, 122.782, -1e-30])
def test_floats_are_mantissa_and_exponent(value):
    mantissa, exponent = np.frexp(value)
    data = integer(int(mantissa * 2**53), 7) + integer(int(exponent) - 53, 2)

    assert Reader(data).float() == value


def test_strings_and_tensors_follow_each_other():
    array = np.arange(-6, 6).reshape(2, 3, 1, 2)
    reader = Reader(tag("con_4") + tensor(array) + integer(-3))

    assert reader.string() == "con_4"
    assert np.array_equal(reader.tensor(), array)
    assert reader.integer() == -3


def test_a_convolution_is_filters_then_bias_then_its_numbers():
    filters, bias = np.arange(36).reshape(2, 2, 3, 3), np.array([7, 8])
    parameters = np.concatenate([filters.ravel(), bias]).reshape(-1, 1, 1, 1)
    numbers = b"".join(integer(n) for n in (2, 3, 3, 2, 1, 0, 1))

    layer = Reader(b"noise" + tag("con_4") + tensor(parameters) + numbers).convolution()

    assert np.array_equal(layer.filters, filters)
    assert np.array_equal(layer.bias, bias)
    assert (layer.stride, layer.padding) == ((2, 1), (0, 1))


def test_an_affine_layer_is_gamma_then_beta():
    layer = Reader(tag("affine_") + tensor(np.arange(6).reshape(6, 1, 1, 1))).affine()

    assert layer.gamma.tolist() == [0, 1, 2]
    assert layer.beta.tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends early"),
        (b"\x04\x01", "ends early"),
        (b"\x00", "no number"),
        (b"\x70\x01", "no number"),
        (integer(1) + b"\x01\x01" * 4 + struct.pack("<f", 1), "tensor version 1"),
        (integer(2) + integer(2**40, 8) * 4, "ends early"),
        (integer(2) + integer(-1) + integer(1) * 3, "a tensor of shape"),
    ],
)
def test_damaged_bytes_are_refused(data, why):
    with pytest.raises(InputError, match=f"^file: .*{why}"):
        Reader(data, "file").tensor()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other.dat").write_bytes(b"\x01\x02something else" * 50)

    with pytest.raises(InputError, match="no further layer 'con_4'"):
        write_onnx(tmp_path / "other.dat", tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.network
def test_the_file_states_the_input_of_the_contract():
    reader = Reader(zoo.get("dlib-resnet29").read_bytes())
    reader.skip_to("input_rgb_image_sized")

    assert [round(reader.float(), 3) for _ in range(3)] == list(CONTRACT.mean)
    assert (reader.integer(), reader.integer()) == CONTRACT.input_size


@pytest.mark.network
def test_the_network_has_29_layers_with_weights_and_14_sums():
    import onnx

    graph = onnx.load(str(dlib_onnx())).graph
    kinds = [node.op_type for node in graph.node]

    assert kinds.count("Conv") + kinds.count("MatMul") == 30  # 29 convolutions and the embedding
    assert (kinds.count("Add"), kinds.count("AveragePool"), kinds.count("Relu")) == (14, 4, 29)
    stages = ((32, 32, 6), (32, 64, 8), (64, 128, 6), (128, 256, 6), (256, 256, 2))  # in, out, convolutions
    expected = 3 * 32 * 49 + 32 + 256 * 128
    for inputs, outputs, count in stages:
        expected += 9 * inputs * outputs + 9 * outputs * outputs * (count - 1) + outputs * count
    floats = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    assert sum(int(np.prod(tensor.dims)) for tensor in floats) == expected


@pytest.mark.network
def test_the_contract_describes_the_weights_in_the_file():
    embedder = load_embedder("dlib-resnet29")

    assert embedder.contract.weights_sha256 == onnx_digest(dlib_onnx())
    assert embedder.contract.threshold == CONTRACT.threshold


@pytest.mark.network
def test_the_graph_computes_what_the_layers_say():
    """A second, slow reading: dlib's layers one by one in numpy and OpenCV-free loops, without folding."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    reader = Reader(zoo.get("dlib-resnet29").read_bytes())

    def layer(x):
        convolution, affine = reader.convolution(), reader.affine()
        weights = [torch.tensor(np.array(a)) for a in (convolution.filters, convolution.bias)]
        x = functional.conv2d(x, *weights, stride=convolution.stride, padding=convolution.padding)
        gamma, beta = (torch.tensor(np.array(a))[:, None, None] for a in (affine.gamma, affine.beta))
        return gamma * x + beta

    def add(a, b):
        shape = [max(sides) for sides in zip(a.shape, b.shape, strict=True)]
        total = torch.zeros(shape)
        for part in (a, b):
            total[tuple(slice(side) for side in part.shape)] += part
        return total

    crops = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.inference_mode():
        x = functional.max_pool2d(layer(crops).relu(), 3, 2)
        for block in range(14):
            shortcut = functional.avg_pool2d(x, 2, 2) if block in (3, 7, 10, 13) else x
            x = add(layer(layer(x).relu()), shortcut).relu()
        slow = x.mean(dim=(2, 3)).numpy() @ reader.dense().weight

    assert np.abs(load_embedder("dlib-resnet29").forward(crops.numpy()) - slow).max() < 1e-5


@pytest.mark.network
def test_the_authors_threshold_tells_the_people_of_the_test_photos_apart():
    analyzer = FaceAnalyzer()
    names = ("obama", "obama2", "obama3", "biden")
    faces = [analyzer.main(read_image(zoo.get(f"photo-{name}"))) for name in names]
    embeddings = np.stack([face.embedding for face in faces]) / 2  # the sum of a crop's and its mirror's

    distances = np.linalg.norm(embeddings[:, None] - embeddings, axis=-1)

    assert (distances[:3, :3] < 0.5).all()
    assert (distances[3, :3] > 0.7).all()
