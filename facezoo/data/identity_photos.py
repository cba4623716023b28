"""Which samples show which identity, for orders that go by identities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facezoo.data.problems import Labels

Indices = NDArray[np.int64]


class Photos:
    """The images of every identity, one after the other.

    Attributes:
        counts: (C,) images of each identity.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels, self.counts = labels, np.bincount(labels)
        self._starts = np.cumsum(self.counts) - self.counts
        self._samples = np.argsort(labels, kind="stable")

    def at(self, identities: Indices, numbers: Indices) -> Indices:
        """The samples that are the images of these numbers of identities."""
        return self._samples[self._starts[identities] + numbers]

    def of(self, identities: Indices, each: int, rng: np.random.Generator) -> Indices:
        """Samples (n, each) of identities (n,): different ones, as long as there are, also from turn to turn."""
        mixed = rng.permutation(len(self._labels))
        mixed = mixed[np.argsort(self._labels[mixed], kind="stable")]
        by_identity = np.argsort(identities, kind="stable")
        ordered = identities[by_identity]
        turns = np.empty_like(by_identity)
        turns[by_identity] = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
        numbers = (turns[:, None] * each + np.arange(each)) % self.counts[identities][:, None]
        return mixed[self._starts[identities][:, None] + numbers]
