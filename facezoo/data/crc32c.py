"""CRC-32C (Castagnoli), as TFRecord files use it: RFC 3720, appendix B.4; https://www.rfc-editor.org/rfc/rfc3720.

A CRC is linear: that of a block is the exclusive or of what each of its bytes adds by its value and its distance from
the end. So numpy looks all bytes of a block up at once instead of one after the other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = np.uint32(0x82F63B78)
_BLOCK = 1024
_AT_ONCE = 256 * _BLOCK
_ROWS = np.arange(_BLOCK, dtype=np.int64) * 256
_FOUR = np.arange(4)
_MASK = 0xA282EAD8


@lru_cache(maxsize=1)
def _tables() -> NDArray[np.uint32]:
    """What a byte adds, (_BLOCK, 256): row k is for the byte at place k of a block."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> np.uint32(1) ^ _POLYNOMIAL, values >> np.uint32(1)).astype(np.uint32)
    rows = [values]
    for _ in range(_BLOCK - 1):
        rows.append(rows[-1] >> np.uint32(8) ^ values[rows[-1] & np.uint32(255)])
    return np.stack(rows[::-1])


def crc32c(data: bytes | memoryview) -> int:
    """The checksum, without mask."""
    table = _tables()
    values = np.frombuffer(data, np.uint8)
    state = np.uint32(0xFFFFFFFF)
    # The short piece first, so that all others are whole blocks.
    short = len(values) % _BLOCK
    if short:
        state = _advance(table, values[:short], state)
    first = table[:4]
    for start in range(short, len(values), _AT_ONCE):
        blocks = values[start : start + _AT_ONCE].reshape(-1, _BLOCK)
        sums = np.bitwise_xor.reduce(table.ravel().take(blocks + _ROWS), axis=1)
        for block in sums:
            state = block ^ np.bitwise_xor.reduce(first[_FOUR, _bytes(state)])
    return int(state) ^ 0xFFFFFFFF


def _advance(table: NDArray[np.uint32], values: NDArray[np.uint8], state: np.uint32) -> np.uint32:
    """The state after fewer bytes than a block."""
    if len(values) < 4:
        for value in values:
            state = table[-1, (state ^ value) & np.uint32(255)] ^ state >> np.uint32(8)
        return state
    values = values.copy()
    values[:4] ^= _bytes(state)
    return np.bitwise_xor.reduce(table[np.arange(_BLOCK - len(values), _BLOCK), values])


def _bytes(state: np.uint32) -> NDArray[np.uint8]:
    return np.frombuffer(int(state).to_bytes(4, "little"), np.uint8)


def masked(crc: int) -> int:
    """Rotated right by 15 bits plus a constant: how TFRecord stores a checksum."""
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF
