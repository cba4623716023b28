"""All pairs of photos compared: the upper triangle in blocks of matrix products, counted as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.evaluation.metrics import Tally
from facezoo.evaluation.tails import BINS, STEPS, UPPER_EDGES, End, Tail, check_state, cosines, load_state, save_state
from facezoo.types import FloatArray, InputError

Equal: TypeAlias = Literal["pairs", "identities"]
"""What counts alike: every pair of photos, or every identity (genuine) and pair of identities (impostor)."""

PANEL, STRIP = 8192, 1024
"""Photos on either side that are read at once, and rows of one matrix product: 32 MB of scores."""

SAVE_EVERY = 20.0
"""Seconds between two writings of the state; it is written between panels of up to 8,192 x 8,192 pairs."""

KEEP = 1 << 21
KEEP_GENUINE = 1 << 22


@dataclass(frozen=True, eq=False)
class PairCounts:
    """The scores of all pairs of N photos of known people.

    Attributes:
        identity: of each photo as 0 .. I-1, (N,).
        failed: photos without a face, (N,): their pairs are never accepted.
        impostor: the highest scores singly.
        genuine: the lowest, negated.
        equal: what counts alike.
        error: bound of the error of a score that was not computed again in float64.
    """

    identity: NDArray[np.intp]
    failed: NDArray[np.bool_]
    impostor: End
    genuine: End
    equal: Equal
    error: float

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Photos of each identity, (I,), those without a face included."""
        return np.bincount(self.identity)

    def totals(self, drawn: FloatArray | None = None) -> tuple[float, float]:
        """Weight of all genuine and of all impostor pairs, those with failed photos included.

        Args:
            drawn: how often each identity is drawn, (I,): a genuine pair counts so often, an impostor pair the product.
        """
        w = np.ones(len(self.sizes)) if drawn is None else drawn
        n = self.sizes.astype(np.float64)
        if self.equal == "identities":
            return float(w[n > 1].sum()), float((w.sum() ** 2 - (w**2).sum()) / 2)
        return float((w * n * (n - 1)).sum() / 2), float(((w * n).sum() ** 2 - ((w * n) ** 2).sum()) / 2)

    @property
    def genuine_pairs(self) -> int:
        return int((self.sizes * (self.sizes - 1)).sum() // 2)

    @property
    def impostor_pairs(self) -> int:
        photos = len(self.identity)
        return photos * (photos - 1) // 2 - self.genuine_pairs

    @property
    def impostor_trials(self) -> int:
        """How many impostor pairs share no person: half as many as there are people."""
        return len(self.sizes) // 2

    @property
    def genuine_trials(self) -> int:
        """How many genuine pairs share no person."""
        return int((self.sizes > 1).sum())

    @property
    def failed_genuine(self) -> NDArray[np.float64]:
        """Weight of the genuine pairs of each identity with a photo without a face, (I,)."""
        seen = np.bincount(self.identity[~self.failed], minlength=len(self.sizes)).astype(np.float64)
        n = self.sizes.astype(np.float64)
        lost = (n * (n - 1) - seen * (seen - 1)) / 2
        return lost / np.maximum(n * (n - 1) / 2, 1) if self.equal == "identities" else lost

    def tally(self) -> Tally:
        """For the metrics: what is held singly by its score, the bulk of impostor scores by the upper edge of its
        bin and of genuine ones by the lower edge, so that neither error rate is ever given too low."""
        ends = ((-self.genuine.scores, self.genuine), (self.impostor.scores, self.impostor))
        edges = (-UPPER_EDGES, UPPER_EDGES)
        values, weights, kinds = [], [], []
        for kind, ((scores, end), edge) in enumerate(zip(ends, edges, strict=True)):
            filled = end.bulk > 0
            values += [scores, edge[filled]]
            weights += [end.weights, end.bulk[filled]]
            kinds += [np.full(len(scores) + int(filled.sum()), kind)]
        distinct, place = np.unique(np.concatenate(values), return_inverse=True)
        weight, kind_of = np.concatenate(weights), np.concatenate(kinds)
        genuine, impostor = (
            np.bincount(place[kind_of == kind], weight[kind_of == kind], len(distinct)).astype(np.float64)
            for kind in (0, 1)
        )
        # Summed as the rates are, so that no rejected pair means an FNMR of exactly 0, also of weights like 1/3.
        genuine_total = float(np.cumsum(genuine[::-1])[-1] + self.failed_genuine.sum())
        return Tally(distinct, genuine, impostor, genuine_total, self.totals()[1])

    def settled(self, embeddings: FloatArray, fars: Sequence[float]) -> PairCounts:
        """With every score that may decide at the targets computed again in float64, so that ties and counts there
        are exact."""
        total = self.totals()[1]
        share = np.cumsum(self.impostor.weights) / total
        near_impostor = np.zeros(len(share), bool)
        near_genuine = np.zeros(len(self.genuine.scores), bool)
        reach = 2 * self.error
        for far in fars:
            place = int(np.searchsorted(share, far, side="right"))
            if place < len(share):
                border = self.impostor.scores[place]
                near_impostor |= np.abs(self.impostor.scores - border) <= reach
                near_genuine |= np.abs(self.genuine.scores + border) <= reach
        return replace(
            self,
            impostor=self.impostor.settled(embeddings, near_impostor),
            genuine=self.genuine.settled(embeddings, near_genuine, -1),
        )


def check_count(what: str, identity: NDArray[np.intp], equal: Equal, keep: int, state: Path | None) -> None:
    """Refuse what `count_pairs` could not do with photos of these people (N,), before they are embedded."""
    if equal not in ("pairs", "identities"):
        raise InputError(f"{what}: equal is {equal!r}, it must be pairs or identities")
    if keep < 1:
        raise InputError(f"{what}: keep is {keep}, it must be 1 or more")
    sizes = np.unique(identity, return_counts=True)[1]
    if len(sizes) < 2 or sizes.max() < 2:
        raise InputError(f"{what}: two people and a second photo of one of them are needed")
    if state is not None:
        check_state(state)


def count_pairs(
    embeddings: FloatArray,
    identity: NDArray[np.intp],
    failed: NDArray[np.bool_] | None = None,
    *,
    equal: Equal = "pairs",
    keep: int = KEEP,
    state: Path | None = None,
    what: str = "all pairs",
) -> PairCounts:
    """Compare every photo with every other.

    Memory beside the embeddings: a few panels of `PANEL` rows, and three times what is kept.

    Args:
        embeddings: (N, D), normalised or not, any float type, a memory map if need be.
        identity: of each photo, (N,).
        failed: photos without a face, (N,).
        keep: impostor scores held singly. FMR is exact up to keep / impostor pairs, above to a bin of 3e-5.
        state: file from which an interrupted count goes on; removed at the end.
        what: for the progress bar.

    Raises:
        InputError: shapes differ, embeddings are not finite, no genuine or no impostor pair, or another count's state.
    """
    if embeddings.ndim != 2 or identity.shape != (len(embeddings),):
        raise InputError(f"{what}: embeddings of shape {embeddings.shape} for {len(identity)} photos of known people")
    check_count(what, identity, equal, keep, state)
    codes = np.unique(identity, return_inverse=True)[1].astype(np.intp)
    lost = np.zeros(len(codes), bool) if failed is None else np.asarray(failed, bool)
    sizes = np.bincount(codes)
    order = np.argsort(codes, kind="stable")
    order = order[~lost[order]]
    if len(order) < 2:
        raise InputError(
            f"{what}: {'no photo has' if not len(order) else 'only one photo has'} a face; nothing is left to compare"
        )
    share = 1 / sizes[codes] if equal == "identities" else None
    tail = Tail(keep)
    key = f"{count_digest(embeddings, codes, lost)} {equal} {keep} {PANEL} {STRIP}" if state else ""
    done = load_state(state, key, tail) if state else 0
    panels, saved = _panels(len(order)), time.monotonic()
    with progress.bar(len(panels), what, "block", initial=done) as bar:
        for number in range(done, len(panels)):
            _count_panel(tail, embeddings, order, codes, share, *panels[number])
            bar.update()
            if state and time.monotonic() - saved >= SAVE_EVERY:
                save_state(state, key, number + 1, tail)
                saved = time.monotonic()
    genuine = _genuine(embeddings, order, codes, sizes if share is not None else None)
    if state:
        state.unlink(missing_ok=True)
    # Of D products and sums in float32, of two norms and divisions, and of the scaling.
    error = (embeddings.shape[1] + 8) * float(np.finfo(np.float32).eps) / 2
    impostor = tail.end(None if share is None else lambda left, right: share[left] * share[right])
    return PairCounts(codes, lost, impostor, genuine, equal, error)


def _panels(photos: int) -> list[tuple[slice, slice]]:
    cuts = [slice(start, min(start + PANEL, photos)) for start in range(0, photos, PANEL)]
    return [(rows, columns) for rows in cuts for columns in cuts if columns.start >= rows.start]


def _unit_rows(embeddings: FloatArray, index: NDArray[np.intp]) -> FloatArray:
    rows = np.asarray(embeddings[index], np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    if not np.isfinite(norms).all():
        raise InputError("all pairs: some embeddings are not finite")
    return rows / np.where(norms == 0, 1, norms).astype(np.float32)[:, None]


def _count_panel(
    tail: Tail,
    embeddings: FloatArray,
    order: NDArray[np.intp],
    codes: NDArray[np.intp],
    share: FloatArray | None,
    rows: slice,
    columns: slice,
) -> None:
    """Impostor pairs of one panel; photos are in the order of their people, so most strips have no genuine pair."""
    others = order[columns]
    other_rows = _unit_rows(embeddings, others).T
    left_rows = _unit_rows(embeddings, order[rows]) * np.float32(STEPS)
    # One strip is counted while the next is multiplied. Pages that are asked for again and again would cost a tenth.
    memories = np.empty((2, STRIP * PANEL), np.float32)
    counted: Future[None] | None = None
    with ThreadPoolExecutor(1) as counter:
        for number, start in enumerate(range(0, len(left_rows), STRIP)):
            left = order[rows][start : start + STRIP]
            # What lies before the strip in a panel on the diagonal was compared already.
            first = start if rows == columns else 0
            right = others[first:]
            scaled = memories[number % 2, : len(left) * len(right)].reshape(len(left), len(right))
            np.matmul(left_rows[start : start + STRIP], other_rows[:, first:], out=scaled)
            if codes[left[-1]] >= codes[right[0]]:
                # Photos of one person, and the lower triangle: their people come earlier or are the same.
                scaled[codes[left][:, None] >= codes[right][None, :]] = -BINS // 2
            weights = None if share is None else np.outer(share[left], share[right])
            if counted is not None:
                counted.result()
            counted = counter.submit(tail.add, scaled, partial(_photos, left, right), weights)
        if counted is not None:
            counted.result()


def _photos(
    left: NDArray[np.intp], right: NDArray[np.intp], places: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The photos of places in a flat block of left x right."""
    row, column = np.divmod(places, len(right))
    return left[row], right[column]


def _genuine(
    embeddings: FloatArray, order: NDArray[np.intp], codes: NDArray[np.intp], sizes: NDArray[np.int64] | None
) -> End:
    """The genuine pairs, in float64, negated; with sizes (I,) each identity counts alike."""
    tail = Tail(KEEP_GENUINE)

    def weigh(left: NDArray[np.integer], _: NDArray[np.integer]) -> FloatArray:
        assert sizes is not None
        n = sizes[codes[left]]
        return 2 / (n * (n - 1.0))

    for left, right in _same(order, codes):
        scaled = np.clip(-cosines(embeddings, left, right), -1, 1) * STEPS
        weights = None if sizes is None else weigh(left, right)
        tail.add(scaled, partial(_taken, left, right), weights)
    return tail.end(None if sizes is None else weigh)


def _taken(
    left: NDArray[np.intp], right: NDArray[np.intp], places: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return left[places], right[places]


def _same(order: NDArray[np.intp], codes: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of photos of one person, some ten thousand at once; `order` goes by people."""
    ends = np.searchsorted(codes[order], codes[order], side="right")
    later = ends - np.arange(len(order)) - 1  # photos of the same person behind each photo
    cuts = np.cumsum(later)
    start = 0
    while start < len(order):
        stop = int(np.searchsorted(cuts, (cuts[start - 1] if start else 0) + (1 << 16), side="right"))
        stop = max(stop, start + 1)
        repeats = later[start:stop]
        first = np.repeat(np.arange(start, stop), repeats)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        if len(first):
            yield order[first], order[first + 1 + offset]
        start = stop


def count_digest(embeddings: FloatArray, identity: NDArray[np.integer], failed: NDArray[np.bool_]) -> str:
    """SHA-256 of embeddings (N, D), the people (N,) and the photos without a face (N,): what was counted."""
    digest = sha256(f"{embeddings.shape} {embeddings.dtype}".encode())
    for start in range(0, len(embeddings), PANEL):
        digest.update(np.ascontiguousarray(embeddings[start : start + PANEL]).data)
    digest.update(np.asarray(identity, np.int64).tobytes())
    digest.update(np.asarray(failed, bool).tobytes())
    return digest.hexdigest()
