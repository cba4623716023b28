"""The evidence page of an audit: test identities beside the training identities that are taken for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facezoo.curation.overlap import Match, Overlap, Probes
from facezoo.curation.page import BESIDE, Group, Item, cosines_figure, findings, group_of, save, shown_image, typical
from facezoo.data.dataset import Dataset
from facezoo.evaluation.html import Section, facts, figure_svg, figures, page
from facezoo.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BELOW = 20
"""Matches just below the threshold that are shown too: whether it lies well is seen there."""


def overlap_page(found: Overlap, test: Probes, train: Dataset, fits: FloatArray, title: str, shown: int) -> str:
    """The page of an audit: at most `shown` matches, the nearest first, and the nearest that are not taken for one.

    Args:
        found: the audit.
        test: the test set.
        train: the training set.
        fits: (N,) how well its images fit their identities.
        title: of the page.
        shown: matches.
    """
    best = typical(fits, train)
    photos = np.argsort(test.labels, kind="stable")
    bounds = np.searchsorted(test.labels[photos], np.arange(len(test.names) + 1))

    def item(match: Match) -> Item:
        name = test.names[match.identity]
        own = photos[bounds[match.identity] : bounds[match.identity + 1]].tolist()
        own = [match.photo, *(photo for photo in own if photo != match.photo)][:BESIDE]
        pictures = [shown_image(test.read, photo, test.photos[photo]) for photo in own]
        caption = f"{name} and {train.classes[match.train]}; strangers so near: {match.chance:.2g} expected"
        groups = [Group(f"test: {name}", pictures), group_of(train, train.classes[match.train], best[match.train])]
        return Item(groups, f"{match.score:.3f}", caption)

    over = found.overlapping
    under = found.matches[len(over) : len(over) + min(BELOW, shown)]
    words = {
        "test identities": f"{found.identities:,}",
        "training identities": f"{found.train_identities:,}",
        "in both": f"{len(over):,} ({len(over) / found.identities:.1%} of the test identities)",
        "threshold": f"cosine {found.threshold:.3f} between centres: strangers are expected to come so near "
        f"{found.false_alarms:g} times in the whole audit",
    }
    drawn = figures([figure_svg(_nearest_figure(found), "cosine to the nearest identity")])
    sections = [
        Section("What was found", save([]) + facts(words) + drawn),
        Section("In both", findings([item(match) for match in over[:shown]], len(over), "matches.csv")),
        Section("Nearest below the threshold", findings([item(match) for match in under], len(under), "matches.csv")),
    ]
    return page(title, sections, "The training identities to leave out are in leave_out.txt.")


def _nearest_figure(found: Overlap) -> Figure:
    """Cosines of test identities to the nearest training identity and to the nearest other test identity."""
    return cosines_figure(
        {
            "to the nearest other test identity": found.strangers,
            "to the nearest training identity": np.array([match.score for match in found.matches]),
        },
        found.threshold,
        ("cosine between centres", "test identities"),
    )
