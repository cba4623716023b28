"""Parts of a dataset: chosen by number of images, by identity or at random; written as lists that can be trained on."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.classes import write_classes
from facezoo.data.dataset import Dataset, FileDataset
from facezoo.data.list_lines import MAX_DIGITS, holds, list_line
from facezoo.data.opening import open_dataset
from facezoo.data.pairs import Pairs
from facezoo.data.problems import Labels, Problems
from facezoo.files import unreadable, write_text
from facezoo.registry import DATASETS, QUOTES
from facezoo.types import InputError

Samples = NDArray[np.int64]


@DATASETS.register(name="subset")
class Subset(Dataset):
    """Samples of another dataset, by their numbers: a list for data that are not files of their own.

    The file has one sample number a line, from 0, each at most once; after a tab the name of the identity, where it
    is another than in the source. The order of the file is kept. Classes keep the source's order; new names follow.

    Args:
        of: the dataset, a path or a spec such as `of='rec:path=train.rec'`.
        samples: the file of numbers, UTF-8.

    Raises:
        InputError: a line that does not parse (with file:line), a number the dataset does not have or that comes twice.
    """

    def __init__(self, of: str, samples: Path) -> None:
        self.base, self.of = open_dataset(of), of
        self.samples, moved = _read_samples(Path(samples))
        _check(Path(samples), self.samples, len(self.base))
        names = {name: label for label, name in enumerate(self.base.classes)}
        values = self.base.labels[self.samples]
        for place, name in moved.items():
            values[place] = names.setdefault(name, len(names))
        used, first, codes = np.unique(values, return_index=True, return_inverse=True)
        every = list(names)
        self.labels = codes.astype(np.int64)
        self.classes = [every[label] for label in used]
        self.problems = Problems(len(self.samples))
        self._moved = values != self.base.labels[self.samples]
        if self.base.shards is not None and (np.diff(shards := self.base.shards[self.samples]) >= 0).all():
            self.shards = shards
        if self.base.weights is not None:
            self.weights = self.base.weights[self.samples]
        if self.base.spaces is not None:
            self.spaces = self.base.spaces[self.base.labels[self.samples[first]]]
        if self.base.source is not None:
            self.source = self.base.source[self.samples]

    def encoded(self, index: int) -> bytes:
        return self.base.encoded(int(self.samples[index]))

    def name(self, index: int) -> str:
        return self.base.name(int(self.samples[index]))

    def path(self, index: int) -> str:
        """As in the source; of a sample whose identity is another one, below the new identity."""
        path = self.base.path(int(self.samples[index]))
        return f"{self.classes[self.labels[index]]}/{path}" if self._moved[index] else path

    def origin(self, index: int) -> str:
        return self.base.origin(int(self.samples[index]))

    def stamp(self) -> str:
        return self.base.stamp()

    def pairs(self) -> Pairs | None:
        """Those of the source of which both samples are here."""
        pairs = self.base.pairs()
        return None if pairs is None else pairs.among(self.samples, len(self.base))

    def digest(self) -> str:
        digest = sha256((super().digest() + self.base.digest()).encode())
        digest.update(self.samples.tobytes())
        return digest.hexdigest()


def _read_samples(path: Path) -> tuple[Samples, dict[int, str]]:
    """Sample numbers, and by line the names of identities that are given."""
    try:
        data = path.read_bytes()
        data.decode()
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8; save it as UTF-8") from None
    numbers, moved = array("q"), {}
    for number, entry in enumerate(data.splitlines(), 1):
        sample, tab, name = entry.partition(b"\t")
        if not sample.isdigit() or len(sample) > MAX_DIGITS or (tab and not name.strip()):
            shown = entry.decode()[:80]
            raise InputError(f"{path}:{number}: {shown!r} is not a sample number, or one and after a tab a name")
        if tab:
            moved[len(numbers)] = name.strip().decode()
        numbers.append(int(sample))
    if not numbers:
        raise InputError(f"{path}: names no sample")
    return np.frombuffer(numbers, np.int64), moved


def _check(path: Path, samples: Samples, size: int) -> None:
    if samples.max() >= size:
        line = int((samples >= size).argmax())
        raise InputError(f"{path}:{line + 1}: sample {samples[line]}, the data have 0 to {size - 1}")
    seen = np.bincount(samples, minlength=size)
    if seen.max() > 1:
        raise InputError(f"{path}: sample {int(seen.argmax())} comes {int(seen.max())} times; name each one once")


def write_subset(data: Dataset, of: str, samples: Samples, out: Path, into: Labels | None = None) -> str:
    """Write some samples of a dataset as a list, and give the spec that trains on them.

    Image files become `path<TAB>label` lines, as `list:path=OUT,root=ROOT` reads them: labels from 0 without gaps, in
    the order of the classes, whose names lie beside the list. Other data become sample numbers, as
    `subset:of=OF,samples=OUT` reads them. A part of a part refers to the whole.

    Args:
        data: the dataset.
        of: its path or spec.
        samples: (K,) numbers.
        out: the list.
        into: (C,) the label that each label becomes, where identities are merged; None leaves them.

    Raises:
        InputError: nothing is left, or a name that a list cannot hold.
    """
    labels = data.labels[samples] if into is None else into[data.labels[samples]]
    return write_labelled(data, of, samples, labels, data.classes, out)


def write_labelled(data: Dataset, of: str, samples: Samples, labels: Labels, classes: Sequence[str], out: Path) -> str:
    """As `write_subset`, with a label for each sample.

    Args:
        labels: (K,) places in `classes`.
        classes: names of identities.
    """
    if not len(samples):
        raise InputError(f"{out}: no image would be left; nothing is written")
    base: Dataset = data
    numbers = samples
    if isinstance(data, Subset):
        base, of, numbers = data.base, data.of, data.samples[samples]
    if isinstance(base, FileDataset):
        used, codes = np.unique(labels, return_inverse=True)
        text = "".join(list_line(base.path(int(n)), code) for n, code in zip(numbers, codes))
        write_classes(out, [classes[label] for label in used])
        write_text(out, text)
        return spec_text("list", path=out, root=base.root)
    lines = []
    for number, label in zip(numbers.tolist(), labels):
        name = classes[label]
        same = name == base.classes[base.labels[number]]
        if not (same or holds(name)):
            raise InputError(f"{out}: the identity {name!r} cannot stand in a list; rename it")
        lines.append(f"{number}\n" if same else f"{number}\t{name}\n")
    write_text(out, "".join(lines))
    return spec_text("subset", of=of, samples=out)


def spec_text(name: str, **options: object) -> str:
    """`name:key=value,...`, values quoted where they need it.

    Raises:
        InputError: a value holds both kinds of quotes.
    """
    texts = []
    for key, value in options.items():
        text = str(value)
        if text != text.strip() or any(letter in text for letter in ",()[]{}'\""):
            quote = next((q for q in QUOTES if q not in text), None)
            if quote is None:
                raise InputError(f"{text}: a spec cannot hold both kinds of quotes; rename or nest less")
            text = f"{quote}{text}{quote}"
        texts.append(f"{key}={text}")
    return f"{name}:{','.join(texts)}"


def filtered(
    data: Dataset,
    min_images: int = 1,
    max_images: int | None = None,
    keep: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    seed: int = 0,
) -> Samples:
    """The samples that stay, rising: named identities first, then those with enough images, then not too many of each.

    Args:
        min_images: identities with at least so many images stay, those with fewer go.
        max_images: of identities with more, so many images are drawn.
        keep: the identities to choose from; None for all.
        drop: identities that go.
        seed: of the images that are drawn.

    Raises:
        InputError: a number below 1, or an identity that the data do not have.
    """
    for word, number in (("min_images", min_images), ("max_images", max_images)):
        if number is not None and number < 1:
            raise InputError(f"{word} is {number}, it must be 1 or more")
    stays = np.full(len(data.classes), keep is None)
    stays[_labels(data, keep or ())] = True
    stays[_labels(data, drop)] = False
    stays &= np.bincount(data.labels, minlength=len(stays)) >= min_images
    samples = stays[data.labels]
    if max_images is not None:
        samples &= _ranks(data.labels, seed) < max_images
    return np.flatnonzero(samples)


def shallow(data: Dataset, images: int = 2, seed: int = 0, keep_small: bool = False) -> Samples:
    """So many images of each identity, drawn; identities with fewer are left out, or kept with all they have.

    Raises:
        InputError: `images` is below 1.
    """
    if images < 1:
        raise InputError(f"images is {images}, it must be 1 or more")
    return filtered(data, 1 if keep_small else images, images, seed=seed)


def split(data: Dataset, parts: Sequence[float], by: Literal["identity", "image"], seed: int = 0) -> list[Samples]:
    """Disjoint parts that together are the whole, each rising.

    Args:
        parts: the share of each; together 1.
        by: `identity` draws identities, so that no person is in two parts; `image` draws images, of each identity as
            many as its share, rounded up or down.
        seed: of the draw.

    Raises:
        InputError: shares that are not positive or not 1 together, or a part that would be empty.
    """
    if len(parts) < 2 or min(parts) <= 0 or abs(sum(parts) - 1) > 1e-6:
        raise InputError(f"parts are {' '.join(map(str, parts))}; give two or more shares above 0 that are 1 together")
    part = np.zeros(len(data), np.int64)
    if by == "identity":
        ends = np.rint(np.cumsum(parts)[:-1] * len(data.classes)).astype(np.int64)
        order = np.random.default_rng(seed).permutation(len(data.classes))
        of_class = np.empty(len(order), np.int64)
        of_class[order] = np.searchsorted(ends, np.arange(len(order)), side="right")
        part = of_class[data.labels]
    else:
        # Identity by identity, images in random order; then every 1/share-th of what is left goes to the last part.
        left = np.lexsort((_ranks(data.labels, seed), data.labels))
        for number in range(len(parts) - 1, 0, -1):
            steps = np.floor(np.arange(len(left) + 1) * (parts[number] / sum(parts[: number + 1])) + 0.5)
            taken = np.diff(steps) > 0
            part[left[taken]] = number
            left = left[~taken]
    found = [np.flatnonzero(part == number) for number in range(len(parts))]
    if empty := [number for number, samples in enumerate(found) if not len(samples)]:
        raise InputError(f"part {empty[0] + 1} of {parts[empty[0]]:g} would be empty: too little data for it")
    return found


def read_names(path: Path) -> list[str]:
    """Names of identities, one a line, as they are; blank lines are skipped.

    Raises:
        InputError: not readable, or not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None
    return [line.strip() for line in lines if line.strip()]


def _labels(data: Dataset, names: Sequence[str]) -> list[int]:
    known = {name: label for label, name in enumerate(data.classes)}
    if unknown := [name for name in names if name not in known]:
        others = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise InputError(f"the data have no identity {unknown[0]!r}{others}; name them as `data stats` does")
    return [known[name] for name in names]


def _ranks(labels: Labels, seed: int) -> Samples:
    """The place of each sample in a random order of its identity's, from 0."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(starts, np.diff(np.append(starts, len(labels))))
    return ranks
