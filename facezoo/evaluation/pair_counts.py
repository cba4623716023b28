"""The scores of all pairs of photos, as far as they are held, and what all of them weigh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.metrics import Tally
from facezoo.evaluation.tails import UPPER_EDGES, End
from facezoo.types import FloatArray

Equal: TypeAlias = Literal["pairs", "identities"]
"""What counts alike: every pair of photos, or every identity (genuine) and pair of identities (impostor)."""


@dataclass(frozen=True, eq=False)
class PairCounts:
    """The scores of all pairs of N photos of known people, or of all pairs of one of them and the copy of another.

    Attributes:
        identity: of each photo as 0 .. I-1, (N,), and of each copy behind them where there are copies.
        failed: photos without a face, (N,): their pairs are never accepted.
        impostor: the highest scores singly.
        genuine: the lowest, negated.
        equal: what counts alike.
        error: bound of the error of a score that was not computed again in float64.
        copies: whether photos were compared with copies: any two photos then are two pairs.
    """

    identity: NDArray[np.intp]
    failed: NDArray[np.bool_]
    impostor: End
    genuine: End
    equal: Equal
    error: float
    copies: bool = False

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Photos of each identity, (I,), those without a face included."""
        return np.bincount(self.identity[: self.photos])

    @property
    def photos(self) -> int:
        """How many, copies not counted."""
        return len(self.identity) // (2 if self.copies else 1)

    @property
    def times(self) -> int:
        """What the pairs of any two photos weigh together, in pairs."""
        return 2 if self.copies and self.equal == "pairs" else 1

    def totals(self, drawn: FloatArray | None = None) -> tuple[float, float]:
        """Weight of all genuine and of all impostor pairs, those with failed photos included.

        Args:
            drawn: how often each identity is drawn, (I,): a genuine pair counts so often, an impostor pair the product.
        """
        w = np.ones(len(self.sizes)) if drawn is None else drawn
        n = self.sizes.astype(np.float64)
        if self.equal == "identities":
            return float(w[n > 1].sum()), float((w.sum() ** 2 - (w**2).sum()) / 2)
        genuine, impostor = (w * n * (n - 1)).sum() / 2, ((w * n).sum() ** 2 - ((w * n) ** 2).sum()) / 2
        return self.times * float(genuine), self.times * float(impostor)

    @property
    def genuine_pairs(self) -> int:
        return int((self.sizes * (self.sizes - 1)).sum()) // (1 if self.copies else 2)

    @property
    def impostor_pairs(self) -> int:
        return self.photos * (self.photos - 1) // (1 if self.copies else 2) - self.genuine_pairs

    @property
    def impostor_trials(self) -> int:
        """How many impostor pairs share no person: half as many as there are people."""
        return len(self.sizes) // 2

    @property
    def genuine_trials(self) -> int:
        """How many genuine pairs share no person."""
        return int((self.sizes > 1).sum())

    def genuine_weights(self, left: NDArray[np.integer]) -> FloatArray:
        """What genuine pairs count each, (P,), given by the photos of one side."""
        n = self.sizes[self.identity[left]]
        return (1 if self.copies else 2) / (n * (n - 1.0)) if self.equal == "identities" else np.ones(len(left))

    def failed_pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Photos of the genuine pairs that could not be compared, (P,) each."""
        own = self.identity[: self.photos]
        order = np.argsort(own, kind="stable")
        order = order[np.isin(own[order], self.identity[self.failed])]
        none = np.empty(0, np.intp)
        pairs = crossed_pairs(order, own) if self.copies else same_pairs(order, own)
        left, right = (np.concatenate(sides) for sides in zip((none, none), *pairs))
        lost = self.failed[left] | self.failed[right]
        return left[lost], right[lost]

    @property
    def failed_genuine(self) -> NDArray[np.float64]:
        """Weight of the genuine pairs of each identity with a photo without a face, (I,)."""
        own, n = self.identity[: self.photos], self.sizes.astype(np.float64)
        present = ~self.failed[: self.photos], ~self.failed[-self.photos :]  # of photos and of copies

        def seen(which: NDArray[np.bool_]) -> NDArray[np.float64]:
            return np.bincount(own[which], minlength=len(n)).astype(np.float64)

        lost = n * (n - 1) - (seen(present[0]) * seen(present[1]) - seen(present[0] & present[1]))
        if self.equal == "identities":
            return lost / np.maximum(n * (n - 1), 1)
        return lost * self.times / 2

    def tally(self) -> Tally:
        """For the metrics: what is held singly by its score, the bulk of impostor scores by the upper edge of its
        bin and of genuine ones by the lower edge, so that neither error rate is ever given too low."""
        ends = ((-self.genuine.scores, self.genuine), (self.impostor.scores, self.impostor))
        edges = (-UPPER_EDGES, UPPER_EDGES)
        values, weights = [], []
        for (scores, end), edge in zip(ends, edges, strict=True):
            filled = end.bulk > 0
            values += [scores, edge[filled]]
            weights += [end.weights, end.bulk[filled]]
        distinct = np.unique(np.concatenate(values))
        summed = [
            np.bincount(np.searchsorted(distinct, value), weight, len(distinct))
            for value, weight in zip(values, weights, strict=True)
        ]
        genuine, impostor = (summed[kind].astype(np.float64) + summed[kind + 1] for kind in (0, 2))
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


def same_pairs(order: NDArray[np.intp], codes: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
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


def crossed_pairs(
    order: NDArray[np.intp], codes: NDArray[np.intp], lost: NDArray[np.bool_] | None = None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """As `same_pairs`, each photo with the copies of the others, which lie len(codes) behind; without the lost ones."""
    for left, right in same_pairs(order, codes):
        first, second = np.concatenate([left, right]), np.concatenate([right, left]) + len(codes)
        if lost is not None:
            kept = ~lost[first] & ~lost[second]
            first, second = first[kept], second[kept]
        if len(first):
            yield first, second
