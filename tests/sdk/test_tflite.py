"""TensorFlow Lite: files written here by hand, operator by operator, against torch."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest

from facezoo.embedder import open_onnx
from facezoo.sdk.tflite_file import read_tflite
from facezoo.sdk.tflite_onnx import write_onnx
from facezoo.types import InputError

torch = pytest.importorskip("torch")


class Builder:
    """A flatbuffer, front to back: children are written behind their parents and pointed to."""

    def __init__(self):
        self.data = bytearray(b"\0\0\0\0TFL3")
        self.patches = []

    def table(self, **fields):
        """field_N = (code, number) or a function that writes a child and gives its position."""
        entries = {int(name[1:]): value for name, value in fields.items()}
        count = max(entries, default=-1) + 1
        offsets, size = [], 4
        for k in range(count):
            offsets.append(size if k in entries else 0)
            size += 4 * (k in entries)
        while len(self.data) % 4:
            self.data += b"\0"
        layout = len(self.data)
        self.data += struct.pack(f"<HH{count}H", 4 + 2 * count, size, *offsets)
        while len(self.data) % 4:
            self.data += b"\0"
        start = len(self.data)
        self.data += struct.pack("<i", start - layout) + bytes(size - 4)
        for k, value in entries.items():
            at = start + offsets[k]
            if callable(value):
                child = value()
                struct.pack_into("<I", self.data, at, child - at)
            else:
                struct.pack_into(f"<{value[0]}", self.data, at, value[1])
        return start

    def tables(self, children):
        while len(self.data) % 4:
            self.data += b"\0"
        start = len(self.data)
        self.data += struct.pack("<I", len(children)) + bytes(4 * len(children))
        for k, child in enumerate(children):
            at = start + 4 + 4 * k
            struct.pack_into("<I", self.data, at, child() - at)
        return start

    def raw(self, data, count=None):
        while len(self.data) % 4:
            self.data += b"\0"
        start = len(self.data)
        self.data += struct.pack("<I", len(data) if count is None else count) + bytes(data)
        return start

    def ints(self, values):
        return self.raw(np.array(values, "<i4").tobytes(), len(values))


NUMBERS = {"ADD": 0, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "MAX_POOL_2D": 17, "PAD": 34, "PRELU": 54, "ABS": 101}


def tflite(kind, tensors, inputs, options, number=None):
    """A file with one operator: tensor 0 is the input, the last one the output; arrays are stored."""
    b = Builder()
    shapes = [t.shape if isinstance(t, np.ndarray) else t for t in tensors]
    arrays = [t if isinstance(t, np.ndarray) else None for t in tensors]

    def tensor(k):
        element = 2 if arrays[k] is not None and arrays[k].dtype == np.int32 else 0
        return lambda: b.table(
            f0=lambda: b.ints(shapes[k]),
            f1=("b", element),
            f2=("I", k + 1),
            f3=lambda: b.raw(f"tensor{k}".encode()),
        )

    def buffer(k):
        array = None if k < 0 else arrays[k]
        return (lambda: b.table()) if array is None else (lambda: b.table(f0=lambda: b.raw(array.tobytes())))

    last = len(tensors) - 1
    operator = {"f0": ("I", 0), "f1": lambda: b.ints(inputs), "f2": lambda: b.ints([last])}
    if options:
        operator["f4"] = lambda: b.table(**options)
    root = b.table(
        f0=("I", 3),
        f1=lambda: b.tables([lambda: b.table(f0=("b", NUMBERS[kind] if number is None else number))]),
        f2=lambda: b.tables(
            [
                lambda: b.table(
                    f0=lambda: b.tables([tensor(k) for k in range(len(tensors))]),
                    f1=lambda: b.ints([0]),
                    f2=lambda: b.ints([last]),
                    f3=lambda: b.tables([lambda: b.table(**operator)]),
                )
            ]
        ),
        f4=lambda: b.tables([buffer(k) for k in range(-1, len(tensors))]),
    )
    struct.pack_into("<I", b.data, 0, root)
    return bytes(b.data)


def run(tmp_path, data, image):
    """What the rewritten file computes from images (B, C, H, W)."""
    (tmp_path / "net.tflite").write_bytes(data)
    write_onnx(tmp_path / "net.tflite", tmp_path / "net.onnx", "net")
    return open_onnx(tmp_path / "net.onnx").run(None, {"tensor0": image})[0]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


SAME = {"f0": ("b", 0)}


def strided(padding, stride):
    return {"f0": ("b", padding), "f1": ("i", stride), "f2": ("i", stride)}


@pytest.mark.parametrize(("side", "stride", "kernel"), [(8, 2, 3), (7, 2, 3), (9, 1, 3), (6, 1, 1), (8, 3, 5)])
def test_a_convolution_pads_as_tensorflow_does(tmp_path, side, stride, kernel):
    filters, bias, image = normal(4, kernel, kernel, 3), normal(4, seed=1), normal(2, 3, side, side, seed=2)
    out = -(-side // stride)
    data = tflite("CONV_2D", [(1, side, side, 3), filters, bias, (1, out, out, 4)], [0, 1, 2], strided(0, stride))

    total = max((out - 1) * stride + kernel - side, 0)
    padded = np.pad(image, ((0, 0), (0, 0), *[(total // 2, total - total // 2)] * 2))
    expected = torch.nn.functional.conv2d(
        torch.tensor(padded), torch.tensor(filters).permute(0, 3, 1, 2), torch.tensor(bias), stride=stride
    )

    assert np.abs(run(tmp_path, data, image) - expected.numpy()).max() < 1e-5


def test_a_convolution_without_padding(tmp_path):
    filters, bias, image = normal(4, 3, 3, 2), normal(4, seed=1), normal(1, 2, 3, 3, seed=2)
    data = tflite("CONV_2D", [(1, 3, 3, 2), filters, bias, (1, 1, 1, 4)], [0, 1, 2], strided(1, 3))

    expected = np.einsum("oijc,bcij->bo", filters, image) + bias
    assert np.abs(run(tmp_path, data, image)[..., 0, 0] - expected).max() < 1e-5


def test_a_depthwise_convolution(tmp_path):
    filters, bias, image = normal(1, 3, 3, 4), normal(4, seed=1), normal(2, 4, 8, 8, seed=2)
    data = tflite("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), filters, bias, (1, 4, 4, 4)], [0, 1, 2], strided(0, 2))

    expected = torch.nn.functional.conv2d(
        torch.tensor(np.pad(image, ((0, 0), (0, 0), (0, 1), (0, 1)))), torch.tensor(filters).permute(3, 0, 1, 2),
        torch.tensor(bias), stride=2, groups=4,
    )  # fmt: skip
    assert np.abs(run(tmp_path, data, image) - expected.numpy()).max() < 1e-5


def test_pooling_padding_slopes_and_sums(tmp_path):
    image = normal(2, 3, 6, 6)
    pool = strided(1, 2) | {"f3": ("i", 2), "f4": ("i", 2)}

    pooled = run(tmp_path, tflite("MAX_POOL_2D", [(1, 6, 6, 3), (1, 3, 3, 3)], [0], pool), image)
    assert (pooled == image.reshape(2, 3, 3, 2, 3, 2).max(axis=(3, 5))).all()

    ends = np.array([[0, 0], [1, 0], [0, 2], [0, 4]], np.int32)
    padded = run(tmp_path, tflite("PAD", [(1, 6, 6, 3), ends, (1, 7, 8, 7)], [0, 1], {}), image)
    assert (padded == np.pad(image, ((0, 0), (0, 4), (1, 0), (0, 2)))).all()

    slope = np.array([[[0.5, -1, 2]]], np.float32)
    sloped = run(tmp_path, tflite("PRELU", [(1, 6, 6, 3), slope, (1, 6, 6, 3)], [0, 1], {}), image)
    assert np.allclose(sloped, np.where(image > 0, image, image * slope.transpose(0, 2, 1)[..., None]))

    assert (run(tmp_path, tflite("ADD", [(1, 6, 6, 3), (1, 6, 6, 3)], [0, 0], {}), image) == 2 * image).all()


def test_a_file_is_read_as_it_was_written():
    filters, bias = normal(4, 3, 3, 3), normal(4, seed=1)
    graph = read_tflite(tflite("CONV_2D", [(1, 8, 8, 3), filters, bias, (1, 4, 4, 4)], [0, 1, 2], strided(0, 2)))

    assert [t.shape for t in graph.tensors] == [(1, 8, 8, 3), (4, 3, 3, 3), (4,), (1, 4, 4, 4)]
    assert (graph.tensors[1].values == filters).all() and graph.tensors[0].values is None
    assert graph.tensors[0].name == "tensor0" and (graph.inputs, graph.outputs) == ((0,), (3,))
    assert graph.operators[0].kind == "CONV_2D" and graph.operators[0].inputs == (0, 1, 2)


@pytest.mark.parametrize(
    ("kind", "tensors", "options", "number", "why"),
    [
        ("ABS", [(1, 2, 2, 1), (1, 2, 2, 1)], {}, None, "operator 101 is not known"),
        ("ADD", [(1, 2, 2, 1), (1, 2, 2, 1)], {"f0": ("b", 1)}, None, "fused activation"),
        ("PRELU", [(1, 2, 2, 1), (1, 2, 2, 1)], {}, None, "lacks its input 1"),
        ("CONV_2D", [(1, 2, 2, 1), (1, 2, 2, 1)], strided(0, 0), None, "lacks its input 2|CONV_2D"),
        ("MAX_POOL_2D", [(1, 3, 3, 1), (1, 2, 2, 1)], strided(0, 2) | {"f3": ("i", 2), "f4": ("i", 2)}, None, "beyond"),
        ("ADD", [(2, 2, 2, 1), (2, 2, 2, 1)], {}, None, "has shape"),
        ("ADD", [(1, -2, 2, 1), (1, 2, 2, 1)], {}, None, "has shape"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, kind, tensors, options, number, why):
    with pytest.raises(InputError, match=why):
        run(tmp_path, tflite(kind, tensors, [0], options, number), normal(1, 1, 2, 2))
    assert not (tmp_path / "net.onnx").exists()


def test_damaged_bytes_are_refused_in_a_sentence():
    whole = tflite("CONV_2D", [(1, 8, 8, 3), normal(4, 3, 3, 3), normal(4), (1, 4, 4, 4)], [0, 1, 2], strided(0, 2))
    rng = np.random.default_rng(0)

    for end in range(0, len(whole) - 500, 7):
        with pytest.raises(InputError):
            read_tflite(whole[:end])
    for _ in range(400):
        damaged = bytearray(whole)
        for at in rng.integers(len(damaged), size=3):
            damaged[at] = rng.integers(256)
        with contextlib.suppress(InputError):
            read_tflite(bytes(damaged))


def test_a_small_file_makes_no_large_list():
    b = Builder()
    root = b.table(f2=lambda: b.raw(b"", 2**31))
    struct.pack_into("<I", b.data, 0, root)

    with pytest.raises(InputError, match="a list of 2,147,483,648 entries"):
        read_tflite(bytes(b.data))
