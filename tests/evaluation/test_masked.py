"""A benchmark with masks beside the plain one, on the same trials."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from facezoo.evaluation import evaluate
from facezoo.evaluation.masked import MaskedBenchmark
from facezoo.evaluation.outcomes import outcome
from facezoo.evaluation.run import embed_photos
from facezoo.image import read_image, write_image
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract, Crop, FloatArray, InputError

PEOPLE, PHOTOS = 16, 3


class Pixels:
    """Embeds some rows of a crop as they are."""

    contract = Contract(embedding_dim=1, flip=False)

    def __init__(self, rows: slice) -> None:
        self.rows = rows

    def __call__(self, crops: Iterable[Crop]) -> FloatArray:
        found = np.array([crop[self.rows, 8:-8:4].astype(np.float32).ravel() for crop in crops])
        return found - found.mean(axis=1, keepdims=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Crops of people who differ in a pattern all over the face, and a list of pairs, genuine and impostor in turns."""
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = np.kron(rng.normal(0, 30, (14, 14, 3)), np.ones((8, 8, 1)))
        for photo in range(PHOTOS):
            crop = np.array([170, 135, 115]) + pattern + rng.normal(0, 12, pattern.shape)
            write_image(tmp_path / f"crops/p{person}/p{person}_{photo + 1:04d}.png", crop.clip(0, 255).astype(np.uint8))
    lines = [f"2\t{PEOPLE // 2}"]
    for fold in range(2):
        own = range(fold * PEOPLE // 2, (fold + 1) * PEOPLE // 2)
        lines += [f"p{k}\t1\t2" for k in own]
        lines += [f"p{k}\t1\tp{(k + 1) % PEOPLE}\t3" for k in own]
    (tmp_path / "crops/pairs.txt").write_text("\n".join(lines) + "\n")
    for path in (tmp_path / "crops").rglob("*.png"):
        path.rename(path.with_suffix(".jpg"))  # LFW's names; the content is told by itself
    return tmp_path / "crops"


def made(root: Path, faces: str = "probe", **options: object) -> MaskedBenchmark:
    more = "".join(f",{key}={value}" for key, value in options.items())
    plain = f"lfw:root={root},aligned=arcface,resamples=50"
    folder = root.parent / f"masked_{faces}"
    return BENCHMARKS.create(f"{plain},masked={faces},mask_mesh=landmarks,mask_folder={folder}{more}")


def test_what_looks_at_the_eyes_loses_nothing_and_what_looks_at_the_mouth_does(root: Path):
    benchmark = made(root, "probe")
    eyes = evaluate(benchmark, Pixels(slice(36, 52, 2)))
    mouth = evaluate(benchmark, Pixels(slice(76, 104, 2)))

    assert eyes.metrics["plain/accuracy"] == mouth.metrics["plain/accuracy"] == 1
    assert eyes.metrics["difference/accuracy"] == 0
    assert mouth.metrics["auc"] < 0.95 and mouth.metrics["difference/auc"] < -0.05
    interval = mouth.intervals["difference/auc"]
    assert interval.low <= mouth.metrics["difference/auc"] <= interval.high
    assert "difference/auc" not in eyes.intervals  # no error with masks or without: no resample differs


def test_the_plain_part_is_the_benchmark_itself(root: Path):
    plain = BENCHMARKS.create(f"lfw:root={root},aligned=arcface,resamples=50")
    alone = evaluate(plain, Pixels(slice(76, 104, 2)))
    together = evaluate(made(root), Pixels(slice(76, 104, 2)))

    for name, value in alone.metrics.items():
        assert together.metrics[f"plain/{name}"] == pytest.approx(value, abs=1e-9)


def test_only_probes_are_masked_or_all_faces(root: Path):
    probe, both = made(root, "probe"), made(root, "both")
    count = len(probe.plain.photos)

    assert (probe.masked.left < count).all() and (probe.masked.right >= count).all()
    assert (both.masked.left == both.plain.left).all() and (both.masked.right == both.plain.right).all()
    for pair in range(len(probe.masked.same)):
        before, after = probe.plain.photos[probe.plain.right[pair]], probe.photos[probe.masked.right[pair]]
        assert after.name == f"masked/{before.name}"
        assert np.array_equal(after.read()[:30], before.read()[:30])
        assert both.masked.photos[both.masked.right[pair]].name == after.name
        assert np.array_equal(both.masked.photos[both.masked.right[pair]].read(), after.read())
    assert [photo.name for photo in both.photos[count:]] == [photo.name for photo in both.masked.photos]


def test_masks_are_made_once_and_follow_the_seed(root: Path):
    first = made(root)
    path = first.photos[-1].source
    assert isinstance(path, Path)
    pixels, stamp = read_image(path), path.stat().st_mtime_ns

    assert made(root).photos[-1].source == path and path.stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="with another seed; name another folder"):
        made(root, mask_seed=1)
    path.unlink()
    made(root)
    assert np.array_equal(read_image(path), pixels)


def test_models_are_compared_on_masked_trials(root: Path):
    benchmark = made(root)
    found = outcome(benchmark, embed_photos(benchmark, Pixels(slice(76, 104, 2))))
    assert found is not None and len(found.right) == len(benchmark.plain.same)


def test_probes_of_a_gallery_are_masked(root: Path):
    benchmark = BENCHMARKS.create(
        f"identify:root={root},aligned=arcface,resamples=20,masked=probe,mask_mesh=landmarks,"
        f"mask_folder={root.parent / 'search'}"
    )
    report = evaluate(benchmark, Pixels(slice(36, 52, 2)))
    assert report.metrics["rank1"] == report.metrics["plain/rank1"] == 1
    assert report.metrics["difference/rank1"] == 0


def test_the_report_has_both_and_the_difference_in_a_table(root: Path):
    report = evaluate(made(root), Pixels(slice(76, 104, 2)))
    head, *rows = report.tables["with and without masks"]
    place = head.index("auc")

    assert [row[0] for row in rows] == ["masked", "plain", "difference"]
    assert rows[2][place] == pytest.approx(rows[0][place] - rows[1][place])
    assert rows[2][place + 1] <= rows[2][place] <= rows[2][place + 2]
