"""Which of our networks a file's tensors are: by names and shapes, never by the file's name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from facezoo.imports.describe import (
    SIZES,
    WIDTHS,
    Look,
    Shape,
    families,
    file_names,
    forms,
    layout_of,
    layouts_of,
    look,
    on_meta,
    options,
    with_options,
)
from facezoo.registry import parse_spec
from facezoo.types import InputError

PREFIX_SHARE = 0.25
"""Prefixes that so many of a file's tensors have may stand before the backbone's."""

FAMILY_SHARE = 0.5
"""A family is looked at in detail if so many of the names of the file, or of one of its networks, are the other's."""

MAX_PARTS = 5
"""Prefixes have at most so many parts."""


@dataclass(frozen=True)
class Match:
    """A file's tensors as one of our networks.

    Attributes:
        spec: rebuilds the network.
        layout: name of the layout.
        prefix: what stands before the names of its tensors.
        names: for each of our tensors its name in the file; those that a file may leave out are missing.
        dropped: how many tensors of the file are not the network's, by the first part of their names.
        dead: how many tensors the original network has but never uses.
        others: spec strings of other networks that the same tensors fit.
    """

    spec: str
    layout: str
    prefix: str
    names: dict[str, str]
    dropped: dict[str, int]
    dead: int = 0
    others: tuple[str, ...] = ()

    @property
    def projects(self) -> tuple[str, ...]:
        return layout_of(self.layout).projects


@dataclass(frozen=True)
class _Try:
    """How the names of a file compare with those of one network."""

    spec: str
    layout: str
    prefix: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    common: int
    dropped: tuple[str, ...]
    dead: int

    @property
    def likeness(self) -> float:
        return self.common / (self.common + len(self.missing) + len(self.extra))


def detect(shapes: Mapping[str, Shape], name: str, wanted: str | None = None) -> Match:
    """Find the network whose tensors a file holds.

    Args:
        shapes: of all tensors of the file, by their full names.
        name: of the file, for messages.
        wanted: spec string of the network it has to be.

    Raises:
        InputError: none fits; the sentence says which comes closest, and what is missing or left over.
    """
    if wanted is not None:
        found = _best(shapes, list(forms(wanted)), {})
        if isinstance(found, Match):
            return found
        other = _search(shapes)
        hint = f"; the tensors are those of {other.spec}: leave --as out" if isinstance(other, Match) else ""
        raise InputError(f"{name}: not {wanted}: {_why(shapes, found)}{hint}")
    found = _search(shapes)
    if isinstance(found, Match):
        return found
    raise InputError(
        f"{name}: {_summary(shapes)} of no network that is known here; {_why(shapes, found)}"
        if found is None or found.likeness < FAMILY_SHARE
        else f"{name}: closest is {found.spec}, but {_why(shapes, found)}"
    )


def _search(shapes: Mapping[str, Shape]) -> Match | _Try | None:
    """Among all registered networks."""
    prefixes = _prefixes(shapes)
    likely: list[tuple[float, list[str], dict[str, set[str]]]] = []
    for names in families().values():
        places: dict[str, set[str]] = {}
        best = 0.0
        for spec in forms(names[0]):
            for layout in layouts_of(names[0]):
                wanted = set(file_names(spec, layout.name).values())
                for prefix in prefixes:
                    common = sum(prefix + key in shapes for key in wanted)
                    share = common / min(len(wanted), prefixes[prefix])
                    best = max(best, share)
                    if share >= FAMILY_SHARE:
                        places.setdefault(layout.name, set()).add(prefix)
        if best == 1 and isinstance(found := _best(shapes, _specs(names), places), Match):
            return found  # no other family has all of these names
        if places:
            likely.append((best, names, places))
    closest: _Try | None = None
    for _, names, places in sorted(likely, key=lambda item: -item[0]):
        found = _best(shapes, _specs(names), places)
        if isinstance(found, Match):
            return found
        if found is not None and (closest is None or found.likeness > closest.likeness):
            closest = found
    return closest


def _specs(names: list[str]) -> list[str]:
    return [spec for name in names for spec in forms(name)]


def _prefixes(shapes: Iterable[str]) -> dict[str, int]:
    """What may stand before the backbone's names, and how many of the file's tensors have it."""
    counts: Counter[str] = Counter()
    total = 0
    for key in shapes:
        parts = key.split(".")[:-1]
        counts.update(".".join([*parts[:count], ""]) for count in range(1, min(len(parts), MAX_PARTS) + 1))
        total += 1
    return {"": total, **{prefix: count for prefix, count in counts.items() if count >= PREFIX_SHARE * total}}


def _best(shapes: Mapping[str, Shape], specs: list[str], places: dict[str, set[str]]) -> Match | _Try | None:
    """The networks of a list that fit, as one match; else how the closest compares.

    Args:
        places: layouts that are tried, each with its prefixes; by default all.
    """
    prefixes = _prefixes(shapes)
    closest: _Try | None = None
    matches: list[Match] = []
    for spec in specs:
        layouts = [layout.name for layout in layouts_of(parse_spec(spec)[0])]
        for layout in layouts:
            for prefix in sorted(places.get(layout, ())) if places else prefixes:
                attempt = _compare(shapes, spec, layout, prefix)
                if not attempt.missing and not attempt.extra:
                    solved = _solve(shapes, attempt)
                    if solved is not None:
                        matches.append(_match(shapes, solved, attempt))
                if closest is None or attempt.likeness > closest.likeness:
                    closest = attempt
    if not matches:
        return closest
    first = matches[0]
    # Another structure for another crop size is no doubt: whoever means it says so.
    size = on_meta(first.spec).input_size
    alike = (match.spec for match in matches if on_meta(match.spec).input_size == size)
    others = tuple(spec for spec in dict.fromkeys(alike) if spec != first.spec)
    return replace(first, others=others)


def _compare(shapes: Mapping[str, Shape], spec: str, layout: str, prefix: str) -> _Try:
    names, optional = file_names(spec, layout), look(spec).optional
    wanted = {prefix + name for name in names.values()}
    missing = tuple(prefix + name for key, name in names.items() if prefix + name not in shapes and key not in optional)
    dead = layout_of(layout).dead
    roots = {name[len(prefix) :].partition(".")[0] for name in wanted}
    extra, dropped, unused = [], [], 0
    for key in shapes:
        inner = key[len(prefix) :] if key.startswith(prefix) else ""
        if key in wanted:
            continue
        # Counters of layers that count nothing here are as dead as tensors that no forward pass reads.
        if inner and ((dead and re.search(dead, inner)) or inner.endswith(".num_batches_tracked")):
            unused += 1
        elif inner.partition(".")[0] in roots:
            extra.append(key)
        else:
            dropped.append(key)
    common = len(wanted) - len(missing)
    return _Try(spec, layout, prefix, missing, tuple(extra), common, tuple(dropped), unused)


def _match(shapes: Mapping[str, Shape], spec: str, attempt: _Try) -> Match:
    names = {key: attempt.prefix + name for key, name in file_names(spec, attempt.layout).items()}
    beside = attempt.prefix[: attempt.prefix.rstrip(".").rfind(".") + 1]
    counted = Counter(key.removeprefix(beside).partition(".")[0] for key in attempt.dropped)
    present = {key: name for key, name in names.items() if name in shapes}
    return Match(spec, attempt.layout, attempt.prefix, present, dict(counted), attempt.dead)


def same_shape(own: Shape, theirs: Shape) -> bool:
    """Equal up to ones at the end: a linear layer may be stored as a 1 x 1 convolution, a slope as (C, 1, 1)."""
    return _stripped(own) == _stripped(theirs)


def _stripped(shape: Shape) -> Shape:
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _differing(shapes: Mapping[str, Shape], own: Look, names: dict[str, str]) -> list[str]:
    found = {key: shapes[name] for key, name in names.items() if name in shapes}
    return [key for key, shape in found.items() if not same_shape(own.shapes[key], shape)]


def _solve(shapes: Mapping[str, Shape], attempt: _Try) -> str | None:
    """The spec string with the embedding's dimension, crop size and width that give the file's shapes, if any do."""
    names = {key: attempt.prefix + name for key, name in file_names(attempt.spec, attempt.layout).items()}
    spec = attempt.spec
    if not _differing(shapes, look(spec), names):
        return spec
    given, known = parse_spec(spec)[1], options(spec)
    for width in [None, *(WIDTHS if "width" in known and "width" not in given else ())]:
        wide = spec if width is None else with_options(spec, width=width)
        if "embedding_dim" in known and "embedding_dim" not in given:
            wide = _with_embedding(shapes, wide, names)
        differing = set(_differing(shapes, look(wide), names))
        if not differing:
            return wide
        if "input_size" in known and "input_size" not in given:
            sized = _with_size(shapes, wide, names, differing)
            if sized is not None:
                return sized
    return None


def _with_embedding(shapes: Mapping[str, Shape], spec: str, names: dict[str, str]) -> str:
    """The dimension is read where the shapes of two networks that differ in it alone differ."""
    default = int(options(spec)["embedding_dim"])
    other = look(with_options(spec, embedding_dim=default * 2))
    for key, shape in look(spec).shapes.items():
        theirs = shapes.get(names[key])
        if theirs is None or len(theirs) != len(shape):
            continue
        for mine, doubled, found in zip(shape, other.shapes[key], theirs, strict=True):
            if mine == default and doubled == 2 * default and found != default:
                return with_options(spec, embedding_dim=found)
    return spec


def _with_size(shapes: Mapping[str, Shape], spec: str, names: dict[str, str], differing: set[str]) -> str | None:
    """The first usual crop size with the file's shapes; none if a tensor that no size changes differs."""
    plain = look(spec).shapes
    for size in SIZES:
        try:
            sized = look(with_options(spec, input_size=size))
        except InputError:  # the network does not take it
            continue
        if any(plain[key] == sized.shapes[key] for key in differing) and sized.shapes != plain:
            return None
        if not _differing(shapes, sized, names):
            return with_options(spec, input_size=size)
    return None


def _why(shapes: Mapping[str, Shape], attempt: _Try | None) -> str:
    """What keeps a file from being a network."""
    if attempt is None or not attempt.common:
        example = ", ".join(list(shapes)[:3])
        return f"its first tensors are {example}"
    texts = []
    if attempt.missing:
        texts.append(f"{len(attempt.missing)} of its tensors are missing, the first is {attempt.missing[0]!r}")
    if attempt.extra:
        texts.append(f"{len(attempt.extra)} tensors are not of it, the first is {attempt.extra[0]!r}")
    if not texts:
        names = {key: attempt.prefix + name for key, name in file_names(attempt.spec, attempt.layout).items()}
        own = look(attempt.spec)
        key = _differing(shapes, own, names)[0]
        texts.append(f"{names[key]!r} is {shapes[names[key]]}, and no option of it makes {own.shapes[key]} so")
    return " and ".join(texts)


def _summary(shapes: Mapping[str, Shape]) -> str:
    return f"{len(shapes)} tensors"


def heads(shapes: Mapping[str, Shape], match: Match, dimension: int) -> list[int]:
    """Classes of the heads that are left out: rows of matrices beside the network with one side of its dimension."""
    kept = set(match.names.values())
    sides: list[Any] = [shape for key, shape in shapes.items() if key not in kept and len(shape) == 2]
    return [max(shape) for shape in sides if dimension in shape]
