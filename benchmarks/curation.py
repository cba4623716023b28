"""How well curation works: errors are planted in a real training list, people of a benchmark in another, and counted.

Needs the photographs in FACEZOO_TEST_DATA and a model that wants ArcFace crops:

    python benchmarks/curation.py MODEL.onnx --contract CONTRACT.toml
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from facezoo.cli.models import load_model
from facezoo.curation.clean import Limits, find
from facezoo.curation.embeddings import embed_dataset
from facezoo.curation.outliers import fits
from facezoo.curation.overlap import Probes, audit
from facezoo.data.opening import open_dataset

SWAPPED, SPLIT, COPIED, PLANTED = 0.02, 30, 100, 30
"""Share of swapped labels, identities split in two, images copied (a third of them under another identity), people."""


def lines(path: Path) -> tuple[list[str], np.ndarray]:
    rows = [line.rsplit(None, 1) for line in path.read_text().splitlines() if line.strip()]
    return [row[0] for row in rows], np.array([int(row[1]) for row in rows])


def write(path: Path, paths: Sequence[str], labels: Sequence[int]) -> str:
    path.write_text("".join(f"{name}\t{label}\n" for name, label in zip(paths, labels, strict=True)))
    return f"list:path={path},root={path.parent}"


def shares(found: set, true: set) -> str:
    right = len(found & true)
    precision, recall = right / max(1, len(found)), right / len(true)
    return f"{len(true):4} planted, {len(found):4} found, precision {precision:.3f}, recall {recall:.3f}"


def cleaning(root: Path, data: Path, model: tuple, precisions: Sequence[float], rng: np.random.Generator) -> None:
    paths, true = lines(data / "train_deep.txt")
    labels, people = true.copy(), np.unique(true)
    swapped = rng.choice(len(labels), int(SWAPPED * len(labels)), replace=False)
    for image in swapped:
        labels[image] = rng.choice(people[people != true[image]])
    split = {}
    for number, person in enumerate(rng.choice(people, SPLIT, replace=False), people.max() + 1):
        own = np.flatnonzero(labels == person)
        labels[rng.choice(own, len(own) // 2, replace=False)] = number
        split[number] = int(person)
    (root / "copies").mkdir()
    copies, wrong = set(), {paths[image] for image in swapped}
    for number, image in enumerate(rng.choice(np.setdiff1d(np.arange(len(true)), swapped), COPIED, replace=False)):
        picture = Image.open(data / paths[image])
        if number % 2:
            picture = picture.resize((84, 84), Image.Resampling.BICUBIC).resize((112, 112), Image.Resampling.BICUBIC)
        name, label = f"copies/{number}.jpg", labels[image]
        if number % 3 == 0:
            label = rng.choice(people[people != true[image]])
            wrong.add(name)
        picture.save(root / name, quality=int(rng.integers(40, 90)))
        paths.append(name)
        labels = np.append(labels, label)
        copies.add(frozenset((paths[image], name)))
    source = open_dataset(write(root / "planted.txt", paths, labels.tolist()))
    for precision in precisions:
        start = time.process_time()
        found = find(source, *model, root / "planted", Limits(outlier_precision=precision))
        outliers = {source.path(outlier.sample) for outlier in found.outliers}
        seconds = time.process_time() - start
        print(f"outliers, precision {precision:g} asked for: {shares(outliers, wrong)} ({seconds:.0f} s)")
    merged = [{int(source.classes[label]) for label in group.labels} for group in found.merges]
    joined = sum(any({new, old} <= group for group in merged) for new, old in split.items())
    print(f"merges: {joined} of {SPLIT} identities joined again; {len(merged)} groups in all")
    groups = [{source.path(sample) for sample in (group.keep, *group.others)} for group in found.duplicates]
    again = sum(any(pair <= group for group in groups) for pair in copies)
    print(f"copies: {again} of {COPIED} found; {len(groups)} groups in all")


def auditing(root: Path, data: Path, model: tuple, rng: np.random.Generator) -> None:
    photos = defaultdict(list)
    for path in sorted((data / "lfw112").glob("*/*.jpg")):
        photos[path.parent.name].append(path.relative_to(data).as_posix())
    chosen = rng.choice(sorted(name for name, own in photos.items() if len(own) >= 4), PLANTED, replace=False)
    paths, labels = lines(data / "train_deep.txt")
    listed, number = labels.tolist(), {}
    for label, name in enumerate(chosen, labels.max() + 1):
        half = len(photos[name]) // 2
        paths += photos[name][:half]
        listed += [label] * half
        photos[name], number[name] = photos[name][half:], str(label)
    names = sorted(photos)
    spec = write(
        root / "test.txt", [p for n in names for p in photos[n]], [k for k, n in enumerate(names) for _ in photos[n]]
    )
    train, test = open_dataset(write(root / "train.txt", paths, listed)), open_dataset(spec)
    centres = fits(embed_dataset(train, *model, root / "train"), train.labels).centres
    vectors = embed_dataset(test, *model, root / "test")[np.arange(len(test))]
    probes = Probes(names, test.labels, vectors, [test.path(k) for k in range(len(test))], test.read)
    for allowed in (0.1, 1.0, 10.0):
        found = audit(centres, probes, allowed)
        pairs = {(names[match.identity], train.classes[match.train]) for match in found.overlapping}
        counts = shares(pairs, set(number.items()))
        print(f"audit, {allowed:g} false alarms allowed: cosine {found.threshold:.3f}, {counts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--contract", type=Path)
    parser.add_argument("--precisions", type=float, nargs="+", default=[0.95, 0.9, 0.8, 0.5])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = os.environ.get("FACEZOO_TEST_DATA")
    if not data:
        raise SystemExit("FACEZOO_TEST_DATA is not set: no real photographs")
    model = load_model(options.model, options.contract, 32, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("celeba112", "cfp112", "lfw112"):
            (root / name).symlink_to(Path(data).resolve() / name)
        cleaning(root, Path(data), model, options.precisions, np.random.default_rng(options.seed))
        auditing(root, Path(data), model, np.random.default_rng(options.seed + 1))


if __name__ == "__main__":
    main()
