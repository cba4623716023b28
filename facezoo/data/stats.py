"""What a dataset holds: identities, sizes, formats, copies, damaged files. Every image is read once, none is kept."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from facezoo import progress
from facezoo.data.ahead import ahead
from facezoo.data.dataset import Dataset
from facezoo.data.problems import Finding, Labels, Problems
from facezoo.image import decode_image
from facezoo.types import InputError

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

DIGEST = 16
"""Bytes kept of each digest: two different images of 5 million agree in them once in 10^25 datasets."""

LISTED = 20
"""Sizes, and groups of copies, that are listed one by one."""

FACTS = [("height", np.int32), ("width", np.int32), ("bytes", np.int64), ("mean", np.float32), ("spread", np.float32)]


class _Seen(NamedTuple):
    """One image: digests of its bytes and its pixels, its facts, `FORMAT MODE`, or why it cannot be read."""

    data: bytes
    pixels: bytes
    facts: tuple[int, int, int, float, float]
    kind: str
    problem: str = ""


@dataclass(frozen=True)
class Copies:
    """Images that occur more than once.

    Attributes:
        groups: images of which there is more than one.
        spare: images that could go: all of a group but one.
        across: groups that lie in several identities: one of their labels is wrong.
        listed: the sample numbers of the first groups, those across identities first.
    """

    groups: int
    spare: int
    across: int
    listed: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Stats:
    """What was found in a dataset of N images and C identities.

    Attributes:
        images, identities: N and C.
        per_identity: (C,) images of each identity.
        sizes: images by `WIDTHxHEIGHT`, the most frequent first.
        kinds: images by file format and colour mode as they are stored, such as `JPEG RGB`; L is grey.
        facts: (N,) structured: height, width, bytes, mean and spread (standard deviation) of the grey values; 0 for
            unreadable images.
        same_bytes: files that are the same byte for byte.
        same_pixels: images that are the same once they are decoded; those with the same bytes among them.
        unreadable: images that do not decode; the first with the reason.
        broken: (N,) which those are.
        problems: what the reader left out when it opened the data.
    """

    images: int
    identities: int
    per_identity: NDArray[np.int64]
    sizes: dict[str, int]
    kinds: dict[str, int]
    facts: NDArray[Any]
    same_bytes: Copies
    same_pixels: Copies
    unreadable: Finding
    broken: NDArray[np.bool_] = field(repr=False)
    problems: Problems

    def quantiles(self, what: str) -> dict[str, float]:
        """Quantiles of `images` per identity, or of height, width, bytes, mean or spread over readable images."""
        values = self.per_identity if what == "images" else self.facts[what][~self.broken]
        if not len(values):
            return {}
        return {f"{100 * q:g}%": float(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES))}

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, ready for JSON."""
        sizes = dict(list(self.sizes.items())[:LISTED])
        return {
            "images": self.images,
            "identities": self.identities,
            "bytes": int(self.facts["bytes"].sum()),
            "quantiles": {w: self.quantiles(w) for w in ("images", "height", "width", "bytes", "mean", "spread")},
            "identities_by_images": {str(k): int(n) for k, n in zip(*np.unique(self.per_identity, return_counts=True))},
            "sizes": sizes,
            "other_sizes": self.images - int(self.broken.sum()) - sum(sizes.values()),
            "formats": self.kinds,
            "same_bytes": _copies_dict(self.same_bytes),
            "same_pixels": _copies_dict(self.same_pixels),
            "unreadable": {"count": self.unreadable.count, "first": list(self.unreadable.first)},
            "left_out": self.problems.summary() if self.problems else None,
        }

    def extremes(self, count: int) -> dict[str, list[int]]:
        """Sample numbers of the images at either end of each fact, the most extreme first."""
        pixels = self.facts["height"].astype(np.int64) * self.facts["width"]
        good = np.flatnonzero(~self.broken)
        ways = {
            "smallest": pixels,
            "largest": -pixels,
            "darkest": self.facts["mean"],
            "brightest": -self.facts["mean"],
            "flattest": self.facts["spread"],
            "fewest bytes a pixel": self.facts["bytes"] / np.maximum(pixels, 1),
        }
        found = {}
        for word, values in ways.items():
            if len(good) and (values[good] != values[good[0]]).any():
                found[word] = good[np.argsort(values[good], kind="stable")[:count]].tolist()
        return found


def measure(data: Dataset) -> Stats:
    """Read every image of a dataset once, in threads, and tell what there is.

    Memory is about 130 bytes an image, whatever its size.
    """
    facts = np.zeros(len(data), FACTS)
    digests = np.zeros((2, len(data), DIGEST), np.uint8)
    broken = np.zeros(len(data), bool)
    kinds: Counter[str] = Counter()
    damaged: list[str] = []
    seen = ahead(lambda sample: _look(data, sample), range(len(data)))
    for sample, image in enumerate(progress.track(seen, "read", "img", len(data))):
        if image.problem:
            broken[sample] = True
            damaged.append(image.problem)
            continue
        facts[sample] = image.facts
        digests[0, sample] = np.frombuffer(image.data, np.uint8)
        digests[1, sample] = np.frombuffer(image.pixels, np.uint8)
        kinds[image.kind] += 1
    good = np.flatnonzero(~broken)
    pairs, counts = np.unique(facts[["width", "height"]][good], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return Stats(
        images=len(data),
        identities=len(data.classes),
        per_identity=np.bincount(data.labels, minlength=len(data.classes)),
        sizes={f"{pairs['width'][k]}x{pairs['height'][k]}": int(counts[k]) for k in order},
        kinds=dict(kinds.most_common()),
        facts=facts,
        same_bytes=_copies(digests[0], good, data.labels),
        same_pixels=_copies(digests[1], good, data.labels),
        unreadable=Finding.of(damaged),
        broken=broken,
        problems=data.problems,
    )


def _look(data: Dataset, sample: int) -> _Seen:
    try:
        encoded = data.encoded(sample)
        pixels = decode_image(encoded, data.name(sample))
    except InputError as error:
        return _Seen(b"", b"", (0, 0, 0, 0.0, 0.0), "", str(error))
    with Pillow.open(io.BytesIO(encoded)) as header:  # reads no pixels; that the image decodes is known
        kind = f"{header.format} {header.mode}"
    grey = pixels.mean(axis=2, dtype=np.float32)
    digest = blake2b(repr(pixels.shape).encode(), digest_size=DIGEST)
    digest.update(np.ascontiguousarray(pixels).data)
    facts = (*pixels.shape[:2], len(encoded), float(grey.mean()), float(grey.std()))
    return _Seen(sha256(encoded).digest()[:DIGEST], digest.digest(), facts, kind)


def _copies(digests: NDArray[np.uint8], good: NDArray[np.intp], labels: Labels) -> Copies:
    """Groups of equal digests (N, DIGEST) among the samples `good`."""
    keys = digests[good].view(np.uint64)
    order = good[np.lexsort((keys[:, 1], keys[:, 0]))]
    keys = digests[order].view(np.uint64)
    starts = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1))) if len(order) else np.empty(0, int)
    sizes = np.diff(np.append(starts, len(order)))
    many = np.flatnonzero(sizes > 1)
    groups = [np.sort(order[starts[k] : starts[k] + sizes[k]]) for k in many]
    across = [len(np.unique(labels[group])) > 1 for group in groups]
    ranked = sorted(zip(groups, across), key=lambda item: (not item[1], int(item[0][0])))
    listed = tuple(tuple(int(sample) for sample in group) for group, _ in ranked[:LISTED])
    return Copies(len(groups), int(sizes[many].sum()) - len(many), sum(across), listed)


def _copies_dict(copies: Copies) -> dict[str, Any]:
    return {
        "groups": copies.groups,
        "spare": copies.spare,
        "across_identities": copies.across,
        "first": [list(group) for group in copies.listed],
    }


def rows(stats: Stats, names: Sequence[str]) -> dict[str, str]:
    """The main facts in words, for a table; `names` are those of the identities."""
    many = int(stats.per_identity.argmax())
    sizes = ", ".join(f"{size} ({count:,})" for size, count in list(stats.sizes.items())[:4])
    more = f" and {len(stats.sizes) - 4:,} more sizes" if len(stats.sizes) > 4 else ""
    return {
        "images": f"{stats.images:,}",
        "identities": f"{stats.identities:,}",
        "images per identity": _spread(stats.quantiles("images")),
        "most images": f"{stats.per_identity[many]:,} of {names[many]}",
        "sizes": (sizes + more) or "none",
        "formats": ", ".join(f"{kind} ({count:,})" for kind, count in stats.kinds.items()) or "none",
        "bytes": f"{int(stats.facts['bytes'].sum()):,}; an image {_spread(stats.quantiles('bytes'))}",
        "same bytes": _copies_words(stats.same_bytes),
        "same pixels": _copies_words(stats.same_pixels),
        "unreadable": f"{stats.unreadable.count:,}",
        "left out by the reader": stats.problems.summary() if stats.problems else "none",
    }


def _spread(quantiles: dict[str, float]) -> str:
    if not quantiles:
        return "none"
    low, middle, high = (f"{quantiles[key]:,.0f}" for key in ("0%", "50%", "100%"))
    return f"{low} to {high}, median {middle}"


def _copies_words(copies: Copies) -> str:
    if not copies.groups:
        return "none"
    across = f", {copies.across:,} of them under several identities" if copies.across else ""
    return f"{copies.groups:,} images more than once{across}; {copies.spare:,} could go"
