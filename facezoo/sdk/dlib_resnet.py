"""dlib's ResNet-29 face recogniser, read from its own file and rewritten as ONNX.

The network is He et al.'s ResNet-34 with fewer layers and half the filters (https://arxiv.org/abs/1512.03385),
trained by the author of dlib on about three million faces; public domain. In its residual sums the smaller
operand is padded with zeros, at the right, at the bottom and in the channels.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from facezoo import zoo
from facezoo.contract import CONTRACT_KEY, tensor_digest
from facezoo.embedder import OnnxEmbedder
from facezoo.registry import EMBEDDERS
from facezoo.sdk.dlib_file import Affine, Convolution, Reader
from facezoo.sdk.onnx_writer import OnnxGraph, Shape
from facezoo.types import Contract, InputError

CONTRACT = Contract(
    name="dlib-resnet29",
    input_size=(150, 150),
    color="rgb",
    mean=(122.782, 117.001, 104.298),
    std=(256.0, 256.0, 256.0),
    template="dlib",
    embedding_dim=128,
    flip=True,
    # Measured: one in a thousand pairs of photos of different people is above it, of 7.3 million pairs on folds 1-5
    # of LFW (docs/sdk.md).
    threshold=0.929,
    license="CC0-1.0",
    training_data="about 3 million faces of 7,485 identities: FaceScrub, VGG face and the web",
)

_BLOCKS = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
"""Channels and number of residual blocks of each stage; all stages but the first halve the map."""

_LAYOUT = 1  # raised when the written graph changes: files in the cache are then written anew


@EMBEDDERS.register(name="dlib-resnet29")
def dlib_resnet29(batch_size: int = 32, threads: int = 0) -> OnnxEmbedder:
    """dlib ResNet-29, 128-d; fetched and rewritten as ONNX at the first use.

    Args:
        batch_size: crops per forward pass, before the mirror images.
        threads: of onnxruntime; 0 lets it choose.
    """
    return OnnxEmbedder(dlib_onnx(), batch_size=batch_size, threads=threads)


def dlib_onnx() -> Path:
    """The recogniser as an ONNX file with its contract, in the cache."""
    key = sha256(f"{_LAYOUT} {CONTRACT.to_json()}".encode()).hexdigest()[:12]
    return zoo.derived(f"dlib-resnet29-{key}.onnx", lambda path: write_onnx(zoo.get("dlib-resnet29"), path))


def write_onnx(weights: Path, target: Path) -> None:
    """Rewrite `dlib_face_recognition_resnet_model_v1.dat` as ONNX: crops (B, 3, 150, 150) to embeddings (B, 128).

    Raises:
        InputError: the file is not this network.
    """
    graph = _Graph()
    output = _network(graph, Reader(weights.read_bytes(), str(weights)))
    contract = replace(CONTRACT, weights_sha256=tensor_digest(graph.arrays))
    crops, embeddings = (3, *CONTRACT.input_size), (CONTRACT.embedding_dim,)
    properties = {CONTRACT_KEY: contract.to_json()}
    graph.write(target, CONTRACT.name, {"crops": crops}, {output: embeddings}, properties)


class _Graph(OnnxGraph):
    def convolution(self, name: str, x: str, layer: Convolution, affine: Affine) -> str:
        """With the affine layer that follows it folded in."""
        gamma, beta = affine.gamma.astype(np.float64), affine.beta.astype(np.float64)
        filters = layer.filters * gamma[:, None, None, None]
        weight = self.array(f"{name}.weight", filters.astype(np.float32))
        bias = self.array(f"{name}.bias", (layer.bias * gamma + beta).astype(np.float32))
        top, left = layer.padding
        return self.node(
            "Conv",
            [x, weight, bias],
            kernel_shape=list(layer.filters.shape[2:]),
            strides=list(layer.stride),
            pads=[top, left, top, left],
        )

    def pad(self, x: str, shape: Shape, wanted: Shape) -> str:
        """Zeros behind the channels, at the bottom and at the right."""
        if shape == wanted:
            return x
        more = [b - a for a, b in zip(shape, wanted, strict=True)]
        pads = self.array(f"pads_{len(self.nodes)}", np.array([0, 0, 0, 0, 0, *more], np.int64))
        return self.node("Pad", [x, pads])


def _network(graph: _Graph, file: Reader) -> str:
    first = file.convolution()
    shape = _after(first, (3, *CONTRACT.input_size), file)
    x = graph.node("Relu", [graph.convolution("stem", "crops", first, file.affine())])
    x = graph.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
    shape = (shape[0], *((side - 3) // 2 + 1 for side in shape[1:]))
    for stage, (channels, count) in enumerate(_BLOCKS):
        for block in range(count):
            x, shape = _block(graph, file, x, shape, f"stage{stage}.block{block}", halve=stage > 0 and block == 0)
            if shape[0] != channels:
                raise InputError(f"{file.name}: stage {stage} has {shape[0]} channels instead of {channels}")
    x = graph.node("GlobalAveragePool", [x])
    x = graph.node("Flatten", [x])
    weight = file.dense().weight
    if weight.shape != (shape[0], CONTRACT.embedding_dim):
        raise InputError(f"{file.name}: the last layer is {weight.shape[0]} -> {weight.shape[1]}")
    return graph.node("MatMul", [x, graph.array("embedding.weight", weight)])


def _block(graph: _Graph, file: Reader, x: str, shape: Shape, name: str, halve: bool) -> tuple[str, Shape]:
    first = file.convolution()
    y = graph.node("Relu", [graph.convolution(f"{name}.conv1", x, first, file.affine())])
    inner = _after(first, shape, file)
    second = file.convolution()
    y = graph.convolution(f"{name}.conv2", y, second, file.affine())
    sum_left = _after(second, inner, file)
    if halve:
        file.skip_to("avg_pool_2")
        x = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
        shape = (shape[0], shape[1] // 2, shape[2] // 2)
    wanted = tuple(map(max, sum_left, shape))
    both = [graph.pad(y, sum_left, wanted), graph.pad(x, shape, wanted)]
    return graph.node("Relu", [graph.node("Add", both)]), wanted


def _after(layer: Convolution, shape: Shape, file: Reader) -> Shape:
    out, inputs, *kernel = layer.filters.shape
    if inputs != shape[0]:
        raise InputError(f"{file.name}: a layer takes {inputs} channels instead of {shape[0]}")
    sides = zip(shape[1:], kernel, layer.stride, layer.padding, strict=True)
    height, width = ((side + 2 * pad - size) // stride + 1 for side, size, stride, pad in sides)
    return out, height, width
