"""Products of embeddings and class centres, and which centres a step takes part in.

Memory is what counts here: at a million classes one copy of the centres is two gigabytes. The centres are read in
blocks that stay in the cache, lengths are divided out of the products instead of out of a copy of the centres, and a
sampled step never touches the other rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SHORTEST = 1e-6
"""A vector shorter than this has no direction: its cosines and gradients are 0."""

BLOCK_BYTES = {"cpu": 1 << 23}
"""Centres read at once, in bytes: on a CPU what its cache holds; elsewhere large kernels count more."""
LARGE_BLOCK = 1 << 28


def split(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (N, D) and norms (N, 1) of (N, D); a vector without length has direction 0 and gradient 0."""
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / norms.masked_fill(norms < SHORTEST, torch.inf), norms


def products(directions: Tensor, weight: Tensor, rows: Tensor | None = None, unit: bool = True) -> Tensor:
    """Cosines (B, n), or (B, n, K) of centres (C, K, D), of unit embeddings (B, D) with centres (C, D).

    Args:
        rows: sorted indices (n,) of the centres that take part, all by default. The centres' gradient is then a sparse
            tensor of these rows.
        unit: divide by the centres' lengths; a centre without length has cosine 0.
    """
    return _Products.apply(directions, weight, rows, unit)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, directions: Tensor, weight: Tensor, rows: Tensor | None, unit: bool) -> Tensor:
        count = len(weight) if rows is None else len(rows)
        each = weight[0].numel() // weight.shape[-1]  # sub-centres
        output = directions.new_empty(len(directions), count * each)
        inverse = directions.new_ones(count * each)
        for first, last, centres in _blocks(weight, rows, directions.dtype):
            part = output[:, first:last]
            torch.mm(directions, centres.T, out=part)
            if unit:
                lengths = torch.linalg.vector_norm(centres, dim=1)
                inverse[first:last] = lengths.masked_fill(lengths < SHORTEST, torch.inf).reciprocal()
                part *= inverse[first:last]
        ctx.save_for_backward(directions, weight, rows, inverse)
        ctx.unit = unit
        return output if weight.dim() == 2 else output.view(len(directions), count, each)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        directions, weight, rows, inverse = ctx.saved_tensors
        gradient = gradients[0].reshape(len(directions), -1)
        for_directions = torch.zeros_like(directions)
        shape = weight.shape if rows is None else (len(rows), *weight.shape[1:])
        for_weight = weight.new_empty(shape)
        flat = for_weight.view(-1, weight.shape[-1])
        exact = flat.dtype == directions.dtype
        for first, last, centres in _blocks(weight, rows, directions.dtype):
            part = gradient[:, first:last] * inverse[first:last]
            for_directions.addmm_(part, centres)
            if not ctx.needs_input_grad[1]:
                continue
            moved = flat[first:last] if exact else directions.new_empty(last - first, flat.shape[1])
            torch.mm(part.T, directions, out=moved)
            if ctx.unit:  # a centre's length has no say: only what is across it counts
                along = torch.linalg.vecdot(moved, centres, dim=1) * inverse[first:last].square()
                moved.addcmul_(centres, along[:, None], value=-1)
            if not exact:
                flat[first:last] = moved
        if not ctx.needs_input_grad[1]:
            return for_directions, None, None, None
        if rows is not None:
            for_weight = torch.sparse_coo_tensor(
                rows[None], for_weight, weight.shape, is_coalesced=True, check_invariants=False
            )
        return for_directions, for_weight, None, None


def _blocks(weight: Tensor, rows: Tensor | None, dtype: torch.dtype) -> Iterator[tuple[int, int, Tensor]]:
    """Ranges of the centres that take part, sub-centres counted one by one, and the centres (range, D) in `dtype`."""
    dim, each = weight.shape[-1], weight[0].numel() // weight.shape[-1]
    size = max(1, BLOCK_BYTES.get(weight.device.type, LARGE_BLOCK) // (4 * dim * each))
    count = len(weight) if rows is None else len(rows)
    for first in range(0, count, size):
        last = min(first + size, count)
        block = weight[first:last] if rows is None else weight.index_select(0, rows[first:last])
        yield first * each, last * each, block.reshape(-1, dim).to(dtype)


def sample_rows(count: int, wanted: int, positives: Tensor) -> Tensor:
    """Sorted rows (n,) of `count`: all of `positives` (sorted, distinct) and random others up to `wanted`.

    Where there are more positives than wanted, exactly the positives; https://arxiv.org/abs/2010.05222. The work grows
    with `wanted`, not with `count`. Drawn from torch's own random state of the positives' device.
    """
    others = wanted - len(positives)
    if others <= 0:
        return positives
    device = positives.device
    if wanted > count // 2:
        free = torch.ones(count, dtype=torch.bool, device=device)
        free[positives] = False
        candidates = free.nonzero()[:, 0]
    else:
        # So many draws with replacement hold enough distinct rows but for one time in a thousand: then it draws again.
        expected = -count * math.log1p(-wanted / count)
        draws = math.ceil(expected + 4 * math.sqrt(expected) + len(positives) + 16)
        while True:
            candidates = torch.randint(count, (draws,), device=device).unique()
            candidates = candidates[~torch.isin(candidates, positives, assume_unique=True)]
            if len(candidates) >= others:
                break
    chosen = candidates[torch.randperm(len(candidates), device=device)[:others]]
    return torch.cat([positives, chosen]).sort().values
