"""A benchmark with masks beside the plain one, on the same trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facezoo.evaluation import evaluate
from facezoo.evaluation.all_pairs import AllPairs
from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.ijb import IJB, Gallery
from facezoo.evaluation.masked import MaskedBenchmark, masked_benchmark
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.outcomes import outcome
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.run import Embed, embed_photos
from facezoo.evaluation.verification import Verification
from facezoo.options import options_of
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError


def made(root: Path, masked: str = "probe", spec: str = "lfw:") -> MaskedBenchmark:
    folder = root.parent / f"masked_{spec.partition(':')[0]}"
    how = f"root={root},aligned=arcface,resamples=50,masked={masked},mask_mesh=landmarks,mask_folder={folder}"
    return BENCHMARKS.create(f"{spec}{how}")


def by_group(lfw: Verification) -> ByGroup:
    """The first and the second fold as two groups."""
    folds = np.asarray(lfw.folds)
    groups = {}
    for group, fold in (("One", 0), ("Two", 1)):
        own = folds == fold
        used = np.unique(np.concatenate([lfw.left[own], lfw.right[own]]))
        assert lfw.identity is not None
        groups[group] = replace(
            lfw,
            name=group,
            photos=[lfw.photos[k] for k in used],
            left=np.searchsorted(used, lfw.left[own]),
            right=np.searchsorted(used, lfw.right[own]),
            same=lfw.same[own],
            folds=4,
            identity=lfw.identity[used],
        )
    return ByGroup("two", groups, "arcface")


def megaface(lfw: Verification) -> MegaFace:
    """The first ten people are FaceScrub, the others distractors."""
    assert lfw.identity is not None
    order = np.argsort(lfw.identity, kind="stable")
    people = lfw.identity[order] < 10
    return MegaFace(
        "mega",
        [lfw.photos[k] for k in order],
        lfw.identity[order][people],
        int((~people).sum()),
        resamples=50,
    )


def ijb(lfw: Verification, flip: Any = "model") -> IJB:
    """Every photo a template of its own; the pairs are those of the list, the probes the third photos."""
    size, photos = len(lfw.photos), list(lfw.photos)
    if flip != "model":
        photos += [replace(photo, mirrored=True) for photo in photos]
    assert lfw.identity is not None
    third = np.array([photo.name.endswith("3.jpg") for photo in lfw.photos])
    gallery, probes = (
        Gallery(name, np.flatnonzero(chosen), lfw.identity[chosen]) for name, chosen in (("G", ~third), ("P", third))
    )
    return IJB(
        "ijb",
        photos,
        np.arange(size),
        10 * np.arange(size),
        np.zeros(size, int),
        np.ones(size),
        (lfw.left, lfw.right, lfw.same),
        [gallery],
        probes,
        "arcface",
        flip=flip,
        resamples=50,
    )


def all_pairs(lfw: Verification) -> AllPairs:
    assert lfw.identity is not None
    return AllPairs("all", lfw.photos, lfw.identity, "arcface", resamples=50)


KINDS = {
    "by group": by_group,
    "megaface": megaface,
    "ijb": ijb,
    "ijb, mirror images apart": lambda lfw: ijb(lfw, "add"),
    "all pairs": all_pairs,
    "pairs": lambda lfw: lfw,
    "pairs of unknown people": lambda lfw: replace(lfw, identity=None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", ["probe", "both"])
def test_what_looks_at_the_eyes_finds_the_same_with_masks(people: Path, eyes: Embed, mouth: Embed, kind, masked):
    plain = KINDS[kind](BENCHMARKS.create(f"lfw:root={people},aligned=arcface,resamples=50"))
    folder = people.parent / f"masked_kind_{kind.partition(',')[0]}"
    benchmark = masked_benchmark(plain, masked=masked, mask_mesh="landmarks", mask_folder=folder)
    with_eyes, with_mouth = evaluate(benchmark, eyes), evaluate(benchmark, mouth)

    for name, value in evaluate(plain, mouth).metrics.items():
        assert with_mouth.metrics[f"plain/{name}"] == pytest.approx(value, abs=1e-9), name
    for name, value in with_eyes.metrics.items():
        if not name.startswith(("plain/", "difference/")) and with_eyes.metrics.get(f"plain/{name}") is not None:
            assert value == pytest.approx(with_eyes.metrics[f"plain/{name}"], abs=1e-6), name
    metric = next(name for name in ("auc", "rank1") if name in with_mouth.metrics)
    assert with_mouth.metrics[f"difference/{metric}"] < -0.01
    assert with_mouth.metrics[metric] < with_mouth.metrics[f"plain/{metric}"]
    names = [photo.name for photo in benchmark.photos]
    assert {name for mistake in with_mouth.mistakes for name in (mistake.left, mistake.right)} <= set(names)
    places = range(len(names))[benchmark.places] if isinstance(benchmark.places, slice) else benchmark.places
    assert [photo.name for photo in benchmark.masked.photos] == [names[k] for k in places]
    assert names[: len(plain.photos)] == [photo.name for photo in plain.photos]


@pytest.mark.parametrize("masked", ["probe", "both"])
def test_templates_take_photo_and_mirror_image_side_by_side(people: Path, mouth: Embed, masked):
    plain = ijb(BENCHMARKS.create(f"lfw:root={people},aligned=arcface,resamples=20"), "concat")
    folder = people.parent / "masked_kind_ijb"
    benchmark = masked_benchmark(plain, masked=masked, mask_mesh="landmarks", mask_folder=folder)
    rows = embed_photos(benchmark, mouth).embeddings
    names = [(photo.name, photo.mirrored) for photo in benchmark.photos]
    own = [k for k, (_, mirrored) in enumerate(names) if not mirrored]
    beside = np.concatenate([rows[own], rows[[names.index((names[k][0], True)) for k in own]]], axis=1)

    assert benchmark.score(beside).metrics == pytest.approx(benchmark.score(rows).metrics, abs=1e-9)


def test_the_difference_has_an_interval_from_the_same_resamples(people: Path, eyes: Embed, mouth: Embed):
    benchmark = made(people)
    without, found = evaluate(benchmark, eyes), evaluate(benchmark, mouth)

    assert without.metrics["plain/accuracy"] == found.metrics["plain/accuracy"] == 1
    assert without.metrics["difference/accuracy"] == 0
    assert found.metrics["difference/auc"] < -0.05
    interval = found.intervals["difference/auc"]
    assert interval.low <= found.metrics["difference/auc"] <= interval.high
    assert "difference/auc" not in without.intervals  # no error with masks or without: no resample differs


def test_only_probes_are_masked_or_all_faces(people: Path):
    probe, both = made(people, "probe"), made(people, "both")
    count = len(probe.plain.photos)

    assert (probe.masked.left < count).all() and (probe.masked.right >= count).all()
    assert (both.masked.left == both.plain.left).all() and (both.masked.right == both.plain.right).all()
    for pair in range(len(probe.masked.same)):
        before, after = probe.plain.photos[probe.plain.right[pair]], probe.photos[probe.masked.right[pair]]
        assert after.name == f"masked/{before.name}"
        assert np.array_equal(after.read()[:30], before.read()[:30])
        assert both.masked.photos[both.masked.right[pair]].name == after.name
        assert both.masked.photos[both.masked.right[pair]].source == after.source


@pytest.mark.parametrize("kind", ["pairs", "pairs of unknown people"])
def test_a_photo_and_its_masked_copy_are_one_photo_for_what_is_independent(people: Path, kind):
    plain = KINDS[kind](BENCHMARKS.create(f"lfw:root={people},aligned=arcface"))
    folder = people.parent / f"masked_kind_{kind}"
    benchmark = masked_benchmark(plain, masked="probe", mask_mesh="landmarks", mask_folder=folder)
    everyone = np.ones(len(plain.same), bool)

    assert benchmark.masked.trials(everyone) == plain.trials(everyone)
    assert benchmark.masked.impostor_trials == plain.impostor_trials
    alike = [np.array_equal(*weights) for weights in zip(plain.weights(), benchmark.masked.weights(), strict=True)]
    assert all(alike)


@pytest.mark.parametrize("spec", ["lfw:", "identify:"])
def test_plain_photos_that_are_probes_alone_are_no_photos_of_the_masked_trials(people: Path, mouth: Embed, spec: str):
    benchmark = made(people, spec=spec)
    found, masked, count = embed_photos(benchmark, mouth), benchmark.masked, len(benchmark.plain.photos)
    sides = (masked.left, masked.right) if spec == "lfw:" else (masked.gallery, masked.probes)
    used = np.union1d(*sides)
    lost = np.zeros(len(found.embeddings), bool)
    lost[np.setdiff1d(np.arange(count), used)[0]] = True
    report = benchmark.score(found.embeddings, lost)

    assert report.protocol["photos"] == len(used) < len(benchmark.photos)
    assert report.protocol["photos without a face"] == 0
    assert not {"pairs without a comparison", "failures"} & report.protocol.keys()
    assert not {"accuracy_without_failures", "rank1_without_failures"} & report.metrics.keys()


def test_plain_templates_that_are_probes_alone_are_not_counted_with_masks(people: Path, mouth: Embed):
    plain = ijb(BENCHMARKS.create(f"lfw:root={people},aligned=arcface,resamples=0"))
    folder = people.parent / "masked_kind_ijb"
    benchmark = masked_benchmark(plain, masked="probe", mask_mesh="landmarks", mask_folder=folder)
    rows, masked = embed_photos(benchmark, mouth).embeddings, benchmark.masked
    assert masked.probes is not None
    used = np.unique(np.concatenate([*masked.pairs[:2], masked.galleries[0].templates, masked.probes.templates]))
    lost = np.zeros(len(rows), bool)
    lost[np.setdiff1d(np.arange(len(rows)), used)[0]] = True  # each photo is a template
    words = benchmark.score(rows, lost).protocol

    assert words["photos"] == words["templates"] == len(used) < len(rows)
    assert words["photos without a face"] == 0 and "failures" not in words


def test_models_are_compared_on_masked_trials(people: Path, mouth: Embed):
    benchmark = made(people)
    found = outcome(benchmark, embed_photos(benchmark, mouth))
    assert found is not None and len(found.right) == len(benchmark.plain.same)


def test_probes_of_a_gallery_are_masked(people: Path, eyes: Embed):
    report = evaluate(made(people, spec="identify:"), eyes)
    assert report.metrics["rank1"] == report.metrics["plain/rank1"] == 1
    assert report.metrics["difference/rank1"] == 0


@pytest.mark.parametrize("kind", ["all_pairs:", "folder:pairs=800,"])
def test_groups_of_a_column_come_with_and_without_masks(people: Path, mouth: Embed, kind):
    (people.parent / "groups.csv").write_text(
        "path,group\n"
        + "".join(f"{p.relative_to(people).as_posix()},{'ab'[len(p.name) % 2]}\n" for p in people.rglob("*.jpg"))
    )
    report = evaluate(made(people, "probe", f"{kind}groups={people.parent / 'groups.csv'},"), mouth)

    assert report.metrics["difference/a/fnmr@far=1e-2"] == pytest.approx(
        report.metrics["a/fnmr@far=1e-2"] - report.metrics["plain/a/fnmr@far=1e-2"]
    )
    assert {"with and without masks", "with and without masks, by group"} < set(report.tables)
    assert any(title.startswith("plain: Groups at FMR 1e-2") for title in report.tables)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("lfw:mask_seed=1,root={root}", "mask_seed does nothing without masked; add masked="),
        ("lfw:maskd=probe,root={root}", r"no option 'maskd' \(did you mean masked\?\)"),
        ("lfw:masked=left,root={root}", "should be 'probe' or 'both'"),
        ("lfw:masked=probe,mask_seed=-1,root={root}", "the seed is -1"),
        ("lfw:masked=probe,mask_workers=0,root={root}", "workers is 0"),
        ('lfw:masked=probe,mask_templates=["tie"],root={root}', "unknown wearable 'tie'"),
        ("lfw:masked=probe,mask_detector=yunet,root={root}", "mask_detector=yunet does nothing"),
        ("all_pairs:masked=probe,state={root}/state.npz,root={root}", "state= keeps one count"),
        ("lfw:masked=both,quality={root}/../quality.csv,root={root}", "quality= scores the plain photos alone"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(people: Path, spec: str, words: str):
    scores = "".join(f"{path.relative_to(people).as_posix()},1\n" for path in people.rglob("*.jpg"))
    (people.parent / "quality.csv").write_text(f"path,score\n{scores}")
    with pytest.raises(InputError, match=words):
        BENCHMARKS.create(spec.format(root=people) + ",aligned=arcface")


def test_every_benchmark_can_be_masked():
    options = {name: options_of(BENCHMARKS.factory(name)).keys() for name in BENCHMARKS.names()}
    assert len(options) > 10 and all({"masked", "mask_seed"} < own for own in options.values())


def test_kinds_without_probes_and_probes_with_masks_are_refused(people: Path):
    plain = BENCHMARKS.create(f"lfw:root={people},aligned=arcface")
    for faces in ("probe", "both"):
        with pytest.raises(InputError, match="its probes are masked photos already"):
            masked_benchmark(replace(megaface(plain), masked=True), masked=faces)

    class Unheard:
        name, photos, aligned = "unheard", (Photo("a", b""),), None

    with pytest.raises(InputError, match="unheard: does not say which photos are probes"):
        masked_benchmark(Unheard(), masked="probe")


def test_the_report_has_both_and_the_difference_in_a_table(people: Path, mouth: Embed):
    report = evaluate(made(people), mouth)
    head, *rows = report.tables["with and without masks"]
    place = head.index("auc")

    assert [row[0] for row in rows] == ["masked", "plain", "difference"]
    assert rows[2][place] == pytest.approx(rows[0][place] - rows[1][place])
    assert rows[2][place + 1] <= rows[2][place] <= rows[2][place + 2]
