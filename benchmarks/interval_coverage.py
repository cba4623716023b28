"""How often intervals cover what they claim: sets of synthetic people, held against pairs of two million others.

    python benchmarks/interval_coverage.py [templates] [pairs] [tail] [--trials 200]

Embeddings are a person's centre and noise. `even`: all people are alike. `mixed`: photos of some vary three times as
much as those of others. `shared`: people belong to eight groups whose centres lie in one direction, as those of one
family, age or descent do. An interval of 95 % should cover the truth in 95 % of the trials.
"""

import argparse

import numpy as np

from facezoo.evaluation.extremes import extrapolate
from facezoo.evaluation.metrics import eer, tally, tar_at_far
from facezoo.evaluation.pair_counting import count_pairs
from facezoo.evaluation.pair_resampling import deflated, draw_identities, resampled
from facezoo.evaluation.template_verification import verify_templates
from facezoo.evaluation.verification import far_name
from facezoo.types import unit

KINDS = ("even", "mixed", "shared")
GROUPS, DIM = 8, 24


def people(seed, number, photos, kind, noise=0.8):
    """Embeddings (N, 24) of people with so many photos each, and who they are, (N,)."""
    generator = np.random.default_rng(seed)
    identity = np.repeat(np.arange(number), photos)
    centres = generator.normal(size=(number, DIM))
    if kind == "shared":
        directions = np.random.default_rng(99).normal(size=(GROUPS, DIM))  # of the population, the same in all sets
        centres = centres + 0.8 * directions[generator.integers(GROUPS, size=number)]
    spread = noise * (3 ** generator.uniform(-0.5, 0.5, number) if kind == "mixed" else np.ones(number))
    return centres[identity] + spread[identity, None] * generator.normal(size=(len(identity), DIM)), identity


def crowd(kind):
    """The truth: pairs of two million people, each in one genuine and six impostor pairs.

    All pairs of some thousands will not do: what those few people happen to be shifts every trial alike, by half the
    deviation of a TAR of 280 people, and 94 % covered look like 85 %.
    """
    genuine, impostor = [], []
    for block in range(20):
        embeddings, _ = people(1_000_000 + block, 100_000, 2, kind)
        left, right = unit(embeddings.astype(np.float32)).reshape(-1, 2, DIM).swapaxes(0, 1)
        genuine.append((left * right).sum(axis=1))
        impostor += [(left * np.roll(right, step, axis=0)).sum(axis=1) for step in (1, 2, 3)]
    scores = np.concatenate(genuine + impostor)
    return tally(scores, np.arange(len(scores)) < sum(map(len, genuine)))


def far_tail(kind, targets, number=30_000):
    """The true thresholds of small FMRs: every one of so many people with every one of as many others."""
    left, right = (unit(people(seed, number, 1, kind)[0].astype(np.float32)) for seed in (1_000_000, 1_000_001))
    highest = round(2 * max(targets) * number**2)
    found = np.empty(0, np.float32)
    for start in range(0, number, 1000):
        found = np.append(found, (left[start : start + 1000] @ right.T).ravel())
        found = np.partition(found, max(0, len(found) - highest))[-highest:]
    found = np.sort(found)[::-1]
    return [float(found[int(target * number**2)]) for target in targets]


def templates(trials):
    """IJB's TAR at FAR of 280 people with two templates each, by the false matches that are expected."""
    left, right = np.triu_indices(560, 1)
    fars = {far: far * 156_240 for far in (3e-5, 1e-4, 1e-3, 1e-2)}
    for kind in KINDS:
        others = crowd(kind)
        truth = {far: tar_at_far(others, far) for far in fars}
        hits, fixed = np.zeros((2, len(fars))), np.zeros(len(fars))
        for trial in range(trials):
            embeddings, identity = people(trial, 280, 2, kind)
            same = identity[left] == identity[right]
            given = unit(embeddings), np.zeros(560, bool), left, right, same, []
            found = verify_templates(*given, resamples=300, seed=trial, fars=tuple(fars))
            for place, far in enumerate(fars):
                key, point = far_name(far), truth[far]
                for row, (name, value) in enumerate((("tar", point.tar), ("threshold", point.threshold))):
                    interval = found.intervals.get(f"{name}@far={key}")
                    hits[row, place] += interval is not None and interval.low <= value <= interval.high
                spread = 1.96 * np.sqrt(found.metrics[f"tar@far={key}"] * (1 - found.metrics[f"tar@far={key}"]) / 280)
                fixed[place] += abs(found.metrics[f"tar@far={key}"] - point.tar) <= spread
        for place, number in enumerate(fars.values()):
            print(
                f"templates {kind:7} {number:7.1f} false matches: TAR {hits[0, place] / trials:6.1%}, threshold "
                f"{hits[1, place] / trials:6.1%}; of the TAR at a fixed threshold {fixed[place] / trials:6.1%}"
            )


def pairs(trials):
    """All pairs of 60 people with six photos each at an FMR of 1e-2, deflated and as they are drawn."""
    for kind in KINDS:
        others = crowd(kind)
        truth = tar_at_far(others, 0.01)
        wanted = {"tar@far=1e-2": truth.tar, "threshold@far=1e-2": truth.threshold, "eer": eer(others)}
        covered = {name: np.zeros(2) for name in wanted}
        for trial in range(trials):
            embeddings, identity = people(trial, 60, 6, kind)
            counts = count_pairs(embeddings, identity).settled(embeddings, [0.01])
            measure = resampled(counts, counts.tally(), [0.01])
            drawn = list(draw_identities(60, 200, trial))
            narrow = deflated(measure, measure(np.ones(60)), iter(drawn), uncut=("eer",))
            values = [measure(weights) for weights in drawn]
            for name, value in wanted.items():
                wide = np.percentile([each[name] for each in values if name in each], [2.5, 97.5])
                covered[name] += [low <= value <= high for low, high in (narrow[name], wide)]
        for name, (cut, whole) in covered.items():
            print(f"pairs {kind:7} {name:20}: deflated {cut / trials:6.1%}, as drawn {whole / trials:6.1%}")


def tail(trials):
    """The threshold for an FMR a thirtieth and a third of what 150 people with three photos can show."""
    for kind in KINDS:
        targets = (3e-6, 1e-6, 3e-7)
        for target, truth in zip(targets, far_tail(kind, targets), strict=True):
            covered, known, widths, errors = 0, 0, [], []
            for trial in range(trials):
                found = extrapolate(count_pairs(*people(trial, 150, 3, kind)), target, resamples=100, seed=trial)
                errors.append(found.threshold - truth)
                if found.interval is not None:
                    known += 1
                    covered += found.interval.low <= truth <= found.interval.high
                    widths.append(found.interval.high - found.interval.low)
            width = f", mean width {np.mean(widths):.3f}" if widths else ""
            print(
                f"tail {kind:7} FMR {target:g} (truth {truth:.4f}): covered {covered / max(known, 1):6.1%} of {known}"
                f"{width}; threshold too high by {np.mean(errors):+.4f} +- {np.std(errors):.4f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="templates, pairs, tail; all unless given")
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    for name in options.what or ("templates", "pairs", "tail"):
        {"templates": templates, "pairs": pairs, "tail": tail}[name](options.trials)


if __name__ == "__main__":
    main()
