"""dlib's serialized numbers, tensors and layers, read with numpy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facezoo.types import FloatArray, InputError

_TENSOR_VERSION = 2


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation filters (out, in, kernel y, kernel x) and bias (out,)."""

    filters: FloatArray
    bias: FloatArray
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Affine:
    """y = gamma x + beta, one pair per channel (C,)."""

    gamma: FloatArray
    beta: FloatArray


@dataclass(frozen=True)
class Dense:
    """y = x weight, weight (in, out)."""

    weight: FloatArray


class Reader:
    """Reads one value after another from the bytes of a dlib file.

    Raises:
        InputError: the bytes end early or are not what is asked for.
    """

    def __init__(self, data: bytes, name: str = "dlib file", position: int = 0) -> None:
        self.data, self.name, self.position = data, name, position

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise InputError(f"{self.name}: ends early, {size} bytes are missing at byte {self.position}")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def integer(self) -> int:
        """A control byte (0x80: negative, low nibble: number of bytes), then the magnitude, little-endian."""
        control = self._take(1)[0]
        size = control & 0x0F
        if control & 0x70 or not 1 <= size <= 8:
            raise InputError(f"{self.name}: no number at byte {self.position - 1}")
        magnitude = int.from_bytes(self._take(size), "little")
        return -magnitude if control & 0x80 else magnitude

    def float(self) -> float:
        """Two integers: mantissa and exponent of 2."""
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 1100:  # dlib writes infinities and NaN with exponents out of the range of a double
            raise InputError(f"{self.name}: not a finite number before byte {self.position}")
        return math.ldexp(mantissa, exponent)

    def string(self) -> str:
        return self._take(self.integer()).decode("latin-1")

    def tensor(self) -> FloatArray:
        """float32 (n, k, rows, columns)."""
        version = self.integer()
        if version != _TENSOR_VERSION:
            raise InputError(f"{self.name}: tensor version {version}, {_TENSOR_VERSION} is known")
        shape = [self.integer() for _ in range(4)]
        if min(shape) < 0:
            raise InputError(f"{self.name}: a tensor of shape {shape}")
        return np.frombuffer(self._take(4 * math.prod(shape)), "<f4").reshape(shape)

    def skip_to(self, tag: str) -> None:
        """Go behind the next string `tag`."""
        found = self.data.find(_string(tag), self.position)
        if found < 0:
            raise InputError(f"{self.name}: no further layer {tag!r}; it is not the network that was expected")
        self.position = found
        self.string()

    def convolution(self) -> Convolution:
        self.skip_to("con_4")
        parameters = self.tensor().reshape(-1)
        out, height, width, *rest = (self.integer() for _ in range(7))
        if min(out, height, width) < 1 or parameters.size <= out or (parameters.size - out) % (out * height * width):
            raise InputError(f"{self.name}: {parameters.size} parameters do not make {out} filters {height} x {width}")
        filters = parameters[:-out].reshape(out, -1, height, width)
        return Convolution(filters, parameters[-out:], (rest[0], rest[1]), (rest[2], rest[3]))

    def affine(self) -> Affine:
        self.skip_to("affine_")
        gamma, beta = np.array_split(self.tensor().reshape(-1), 2)
        return Affine(gamma, beta)

    def dense(self) -> Dense:
        """A fully connected layer without bias."""
        self.skip_to("fc_2")
        outputs, inputs = self.integer(), self.integer()
        weight = self.tensor().reshape(-1)
        if weight.size != inputs * outputs:
            raise InputError(f"{self.name}: {weight.size} weights do not make a layer {inputs} -> {outputs}")
        return Dense(weight.reshape(inputs, outputs))


def _string(text: str) -> bytes:
    return bytes((1, len(text))) + text.encode("latin-1")
