"""How far a metric can be trusted: t-interval over folds, and bootstrap over identities or pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from facezoo.evaluation.folds import Folds
from facezoo.evaluation.metrics import RULE_OF_THREE
from facezoo.evaluation.report import Interval
from facezoo.types import FloatArray, InputError

LEVEL = 0.95


def check_draws(name: str, resamples: int, seed: int) -> None:
    """Refuse a bootstrap of fewer than 0 resamples, and a seed that no generator takes."""
    for option, value in (("resamples", resamples), ("seed", seed)):
        if value < 0:
            raise InputError(f"{name}: {option} is {value}, it must be 0 or more")


def t_quantile(level: float, freedom: int) -> float:
    """The t with P(|T| < t) = level for a whole number of degrees of freedom, from the series of A&S 26.7.3-4."""
    low, high = 0.0, 1.0
    while _t_within(high, freedom) < level:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _t_within(middle, freedom) < level else (low, middle)
    return high


def _t_within(t: float, freedom: int) -> float:
    """P(|T| < t)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def fold_interval(folds: Folds, level: float = LEVEL) -> tuple[float, float]:
    """Mean accuracy -+ t s / sqrt(K), with s the sample deviation over K folds; clipped to 0 .. 1."""
    reach = t_quantile(level, len(folds.accuracies) - 1) * folds.standard_error
    return max(0.0, folds.mean - reach), min(1.0, folds.mean + reach)


def wilson(errors: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a rate from independent trials, also where none is wrong; doi:10.1080/01621459.1927.10502953."""
    if trials <= 0:
        raise InputError(f"wilson: {trials} trials, there must be more than 0")
    z = float(ndtri((1 + level) / 2))
    share, spread = errors / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def pair_weights(pairs: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """How often each pair is drawn, (P,), when pairs are drawn with replacement."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(pairs, size=pairs), minlength=pairs).astype(np.float64)


def identity_weights(
    left: NDArray[np.intp], right: NDArray[np.intp], resamples: int, seed: int
) -> Iterator[FloatArray]:
    """Weight of each pair, (P,), when identities are drawn with replacement.

    An identity drawn w times gives its genuine pairs the weight w; an impostor pair of i and j has w_i w_j.

    Args:
        left, right: identity of either side, (P,); equal in a genuine pair.
    """
    distinct, codes = np.unique(np.concatenate([left, right]), return_inverse=True)
    first, second = codes[: len(left)], codes[len(left) :]
    genuine = first == second
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = np.bincount(generator.integers(len(distinct), size=len(distinct)), minlength=len(distinct))
        drawn = drawn.astype(np.float64)
        yield np.where(genuine, drawn[first], drawn[first] * drawn[second])


MATCHED = 1 << 20
"""Of a longer list of pairs every so-manieth is looked at, so that about so many are."""


def independent_trials(
    left: NDArray[np.integer], right: NDArray[np.integer], identity: NDArray[np.integer] | None = None
) -> int:
    """How many of the pairs of photos (P,) are independent evidence: as many as share no person, or no photo where the
    identities (N,) are unknown.

    The pairs are gone through in random order and taken where neither side was taken before. Of the pairs of one
    person with themselves one counts. Without an error in those the rule of three holds strictly.
    """
    step = -(-len(left) // MATCHED) or 1
    sides = np.stack([left[::step], right[::step]])
    free = np.unique(sides if identity is None else identity[sides], return_inverse=True)[1].reshape(2, -1)
    generator, found = np.random.default_rng(0), 0
    while free.shape[1]:
        turn = generator.permutation(free.shape[1])
        earliest = np.full(int(free.max()) + 1, free.shape[1])
        for side in free:
            np.minimum.at(earliest, side, turn)
        taken = (earliest[free] == turn).all(axis=0)
        found += int(taken.sum())
        used = np.zeros(len(earliest), bool)
        used[free[:, taken]] = True
        free = free[:, ~used[free].any(axis=0)]
    return found


def trial_words(trials: float, shared: str, success: bool = False) -> str:
    """What stands beside a bound by the rule of three.

    Args:
        shared: person or photo.
        success: whether no success was seen, instead of no error.
    """
    return f"rule of three, no {'success' if success else 'error'} in {trials:,.0f} pairs that share no {shared}"


def error_bound(trials: float) -> float:
    """The 95 % upper bound of an error rate of which `trials` independent trials showed none."""
    return min(1.0, RULE_OF_THREE / trials)


def none_seen(always: bool, trials: float, words: str) -> Interval:
    """Of the rate of what was never or always seen in so many independent trials, by the rule of three."""
    bound = error_bound(trials)
    return Interval(1 - bound if always else 0.0, 1.0 if always else bound, LEVEL, words)


def bootstrap(
    measure: Callable[[FloatArray], Mapping[str, float | None]],
    weights: Iterator[FloatArray],
    level: float = LEVEL,
) -> dict[str, tuple[float, float]]:
    """Percentile interval of each metric that `measure` gives for the weights of a resample.

    A metric gets no interval if fewer than half of the resamples define it.
    """
    found: dict[str, list[float]] = {}
    drawn = 0
    for weight in weights:
        drawn += 1
        for name, value in measure(weight).items():
            if value is not None:
                found.setdefault(name, []).append(value)
    if drawn == 0:
        raise InputError("bootstrap: 0 resamples, there must be 1 or more")
    tail = 50 * (1 - level)
    return {
        name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for name, values in found.items()
        if 2 * len(values) >= drawn
    }


def identity_intervals(
    measure: Callable[[FloatArray], Mapping[str, float | None]],
    identity: NDArray[np.intp],
    metrics: Mapping[str, float | None],
    people: int,
    over: str,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Intervals of rates of success: identities are drawn with all that is theirs.

    A rate of 1 or of 0 is repeated by every resample: it gets the rule of three instead.

    Args:
        measure: rates by name for a weight of each entry (M,).
        identity: of each entry (M,).
        metrics: the rates found.
        people: independent trials, for the rule of three.
        over: what is drawn, in words.
        resamples, seed: of the bootstrap; 0 resamples give no interval.
    """
    if not resamples:
        return {}
    method = f"bootstrap over {over}, {resamples} resamples, seed {seed}, percentile"
    drawn = bootstrap(measure, identity_weights(identity, identity, resamples, seed))
    intervals = {name: Interval(*ends, LEVEL, method) for name, ends in drawn.items()}
    for name in intervals:
        if metrics[name] in (0, 1):
            found = "no error" if metrics[name] == 1 else "no success"
            intervals[name] = none_seen(metrics[name] == 1, people, f"rule of three, {found} in {people} identities")
    return intervals


def trial_intervals(
    hits: Mapping[str, NDArray[np.bool_]], identity: NDArray[np.intp], over: str, resamples: int, seed: int
) -> dict[str, Interval]:
    """Intervals of the shares of hits in trials (T,), of which those of one identity (T,) are drawn together."""
    measure, ids = trial_measure(hits, identity)
    return identity_intervals(measure, ids, measure(np.ones(len(ids))), len(ids), over, resamples, seed)


def trial_measure(
    hits: Mapping[str, NDArray[np.bool_]], identity: NDArray[np.intp]
) -> tuple[Callable[[FloatArray], dict[str, float | None]], NDArray[np.intp]]:
    """Gives the shares of hits in trials (T,) for a weight of each identity, and those identities."""
    # Their sums are drawn, not the trials, which may be millions.
    ids, code, counts = np.unique(identity, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(code, hit, len(ids)) for hit in hits.values()])

    def measure(weights: FloatArray) -> dict[str, float | None]:
        return dict(zip(hits, (sums @ weights / (counts @ weights)).tolist()))

    return measure, ids
