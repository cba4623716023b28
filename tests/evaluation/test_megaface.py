import json
import tracemalloc

import numpy as np
import pytest

from facezoo.evaluation import megaface as module
from facezoo.evaluation import vectors
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.noise import JITTER, PUSH, centred, distractor_factors, read_noise
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.vectors import Vectors
from facezoo.image import write_image
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError, unit


def made(identity, distractors, **options):
    return MegaFace("toy", [], np.asarray(identity), distractors, resamples=0, **options)


def naive_rates(probes, gallery, distractors, identity, ranks=10):
    """Every ordered pair of one person's photos, the whole score matrix, ties as hits."""
    others = -np.sort(-(probes @ distractors.T), axis=1)
    mates = probes @ gallery.T
    hits = [
        mates[j, i] >= others[j, :ranks]
        for i in range(len(identity))
        for j in range(len(identity))
        if i != j and identity[i] == identity[j]
    ]
    return np.mean(hits, axis=0)


@pytest.mark.golden
@pytest.mark.parametrize("variant", ["plain", "masked", "concat_plain", "concat_masked", "zeroed_distractors_plain"])
def test_rates_are_those_of_facexzoo(golden, variant):
    given, expected, _ = golden.load("evaluation/megaface_rank.npz")
    names = ["facescrub", "megaface", "masked_facescrub"] if "masked" in variant else ["facescrub", "megaface"]
    parts = [given[name] for name in names]
    if variant.startswith("concat"):  # two embeddings side by side: any dimension will do
        parts = [np.concatenate([unit(part[:, :32]), unit(part[:, 32:])], axis=1) for part in parts]
    noisy = np.zeros(len(given["ids"]) + len(given["megaface"]), bool)
    noisy[len(given["ids"]) :: 7] = variant.startswith("zeroed")
    benchmark = made(
        given["ids"], len(given["megaface"]), masked="masked" in variant, noisy=noisy, noise="zero", ties="hit"
    )

    report = benchmark.score(np.concatenate(parts))

    assert report.curves["cmc"]["rate"] == pytest.approx(expected[f"{variant}.accuracy"], abs=1e-12)
    assert report.protocol["trials"] == expected["trials"]
    assert [report.metrics[f"rank{k}"] for k in range(1, 11)] == report.curves["cmc"]["rate"]


@pytest.mark.golden
def test_noise_removal_is_that_of_facexzoo_and_of_insightface(golden):
    given, expected, _ = golden.load("evaluation/noise_removal.npz")
    people, photos, dim = given["facescrub"].shape
    noisy = np.zeros((people, photos), bool)
    noisy[tuple(given["facescrub_noise"].T)] = True
    flat, identity = given["facescrub"].reshape(-1, dim), np.repeat(np.arange(people), photos)
    strangers = np.zeros(given["megaface"].shape[:3], bool)
    strangers[tuple(given["megaface_noise"].T)] = True

    ours = centred(flat, identity, noisy.ravel())
    near = centred(flat, identity, noisy.ravel(), JITTER)
    np.testing.assert_allclose(ours, expected["facexzoo.facescrub"].reshape(-1, dim), atol=1e-6)
    np.testing.assert_allclose(near, expected["insightface.facescrub"].reshape(-1, dim + 1)[:, :dim], atol=2e-3)
    for noise, theirs in (("zero", expected["facexzoo.megaface"]), ("push", expected["insightface.megaface"])):
        kept, factor = distractor_factors(strangers.ravel(), noise)
        assert len(kept) == strangers.size
        pushed = Vectors(given["megaface"].reshape(-1, dim), factor=factor).read(kept)
        np.testing.assert_allclose(pushed, unit(theirs.reshape(strangers.size, -1))[:, :dim], atol=1e-6)


def test_pushed_noise_scores_as_with_one_more_dimension():
    assert distractor_factors(np.array([True]), "push")[1] == 1 / np.sqrt(1 + PUSH**2)


def test_a_zero_vector_beats_a_mate_with_a_negative_cosine_only_as_facexzoo_has_it():
    photos = np.array([[1.0, 0.0], [-0.1, 1.0], [-1.0, 0.1], [-1.0, 0.2]])  # two photos of one person, two distractors
    noisy = np.array([False, False, True, False])

    zero = made([0, 0], 2, noisy=noisy, noise="zero", ties="hit").score(photos)
    dropped = made([0, 0], 2, noisy=noisy, noise="drop").score(photos)

    assert zero.metrics["rank1"] == 0 and dropped.metrics["rank1"] == 0.5
    assert dropped.protocol["distractors"] == 1


def test_blocks_and_memory_maps_change_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(6), 4)
    photos = unit(rng.normal(size=(24 + 300, 8)))
    photos[:24] = unit(photos[:24] + 1.5 * unit(rng.normal(size=(6, 8)))[identity])
    stored = np.lib.format.open_memmap(tmp_path / "features.npy", "w+", np.float32, photos.shape)
    stored[:] = photos
    monkeypatch.setattr(vectors, "BLOCK", 32)
    monkeypatch.setattr(module, "TRIALS", 10)

    report = made(identity, 300).score(np.load(tmp_path / "features.npy", mmap_mode="r"))

    expected = naive_rates(photos[:24], photos[:24], photos[24:], identity)
    assert report.curves["cmc"]["rate"] == pytest.approx(expected)
    assert report.curves["growth"]["size"] == [10.0, 100.0, 300.0]
    for size, rate in zip([10, 100, 300], report.curves["growth"]["rate"]):
        smaller = naive_rates(photos[:24], photos[:24], photos[24 : 24 + size], identity)[0]
        assert rate == pytest.approx(smaller)


def test_memory_is_that_of_a_block_whatever_the_number_of_distractors(tmp_path):
    features = np.lib.format.open_memmap(tmp_path / "features.npy", "w+", np.float16, (400 + 300_000, 16))
    features[:] = np.random.default_rng(0).normal(size=features.shape)
    benchmark = made(np.arange(400) // 4, 300_000)
    tracemalloc.start()

    benchmark.score(np.load(tmp_path / "features.npy", mmap_mode="r"))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # all scores at once would take 480 MB


def test_a_tie_with_a_distractor_is_a_miss_unless_facexzoos_rule_is_asked_for():
    photos = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]])

    assert made([0, 0], 1).score(photos).metrics["rank1"] == 0
    assert made([0, 0], 1, ties="hit").score(photos).metrics["rank1"] == 0.5


def test_photos_without_a_face_miss_and_such_distractors_are_left_out():
    photos = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0], [1.0, 0.0]])
    failed = np.array([False, False, True, False, True])

    report = made([0, 0, 0], 2).score(photos, failed)

    assert report.metrics["rank1"] == pytest.approx(2 / 6)
    assert report.metrics["rank1_without_failures"] == 1
    assert report.protocol["distractors"] == 1 and report.protocol["photos without a face"] == 2


def test_intervals_draw_people_and_no_error_takes_the_rule_of_three():
    identity = np.repeat(np.arange(20), 3)
    rng = np.random.default_rng(1)
    centres = unit(rng.normal(size=(20, 16)))
    photos = np.concatenate([centres[identity], unit(rng.normal(size=(50, 16)))])
    perfect = MegaFace("toy", [], identity, 50, resamples=50).score(photos)
    noisy = MegaFace("toy", [], identity, 50, resamples=200).score(photos + rng.normal(size=photos.shape) * 0.3)

    assert perfect.metrics["rank1"] == 1 and perfect.intervals["rank1"].low == pytest.approx(1 - 3 / 20)
    found = noisy.intervals["rank1"]
    assert found.low < noisy.metrics["rank1"] < found.high and "identities" in found.method


@pytest.fixture
def tree(tmp_path):
    """Two people with two photos each, masked photos, and three strangers."""
    rng = np.random.default_rng(0)
    paths = ["Ann/Ann_1.png", "Ann/Ann_2.png", "Bo/Bo_1.png", "Bo/Bo_2.png"]
    strangers = [f"FlickrFaces/{k}.png" for k in range(3)]
    for folder, names in (("facescrub", paths), ("facescrub_mask", paths), ("megaface", strangers)):
        for name in names:
            write_image(tmp_path / folder / name, rng.integers(0, 255, (112, 112, 3), np.uint8))
    (tmp_path / "facescrub_features_list.json").write_text(json.dumps({"path": paths, "id": ["a", "a", "b", "b"]}))
    (tmp_path / "megaface_features_list.json").write_text(json.dumps({"path": strangers}))
    (tmp_path / "scrub_noise.txt").write_text("# comment\n\nAnn_2.jpg\n")
    (tmp_path / "mega_noise.txt").write_text("1\tFlickrFaces/1.png\nFlickrFaces/2.png\n")
    return tmp_path


def test_lists_and_noise_lists_are_read(tree):
    benchmark = BENCHMARKS.create(
        f"megaface_mask:root={tree},facescrub_noise={tree}/scrub_noise.txt,distractor_noise={tree}/mega_noise.txt"
    )

    assert benchmark.name == "megaface_mask" and benchmark.masked and len(benchmark.photos) == 11
    assert benchmark.noisy.tolist() == [False, True, False, False, False, True, True]
    assert benchmark.trials()[0].tolist() == [2, 3]
    assert read_noise(tree / "mega_noise.txt", distractors=True) == {"FlickrFaces/1.png", "FlickrFaces/2.png"}
    assert BENCHMARKS.create(f"megaface@facexzoo:root={tree}").noise == "zero"


def test_masked_probes_are_scored_by_the_command(tree, mosaic, run):
    code, printed, errors = run(
        "evaluate",
        mosaic / "mosaic.onnx",
        f"megaface:root={tree}",
        f"megaface_mask:root={tree}",
        f"megaface:root={tree},masked=probe,mask_mesh=landmarks,mask_folder={tree / 'drawn'},name=drawn",
        "--contract",
        mosaic / "contract.toml",
        "--json",
    )

    assert code == 0, errors
    plain, masked, drawn = json.loads(printed)
    assert (plain["protocol"]["photos without a face"], plain["protocol"]["trials"]) == (0, 4)
    assert masked["protocol"]["probes"] == "4 masked photos of 2 people" and 0 <= masked["metrics"]["rank1"] <= 1
    assert "masked" not in plain["protocol"]["probes"]
    assert drawn["protocol"]["probes"] == masked["protocol"]["probes"]
    assert drawn["metrics"]["plain/rank1"] == plain["metrics"]["rank1"]
    assert len(list((tree / "drawn").rglob("*.png"))) == 4  # neither mates nor distractors


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("megaface:root={tree}/none", "no such file"),
        ("megaface:root={tree},facescrub=elsewhere", "no such photo"),
        ("megaface:root={tree},size=9", "size is 9"),
        ("megaface:root={tree},facescrub_noise={tree}/mega_noise.txt", "names none"),
        ("megaface:root={tree},distractor_list={tree}/bad.json", "leaves the folder"),
        ("megaface:root={tree},facescrub_list={tree}/scrub_noise.txt", "not valid JSON"),
        ("megaface:root={tree},facescrub_list={tree}", "is a folder; name a file"),
        ("megaface:root={tree},facescrub_list={tree}/deep.json", "nested too deeply"),
        ("megaface:root={tree},facescrub_list={tree}/ids.json", "an entry for each of the 1 paths"),
        ("megaface:root={tree},seed=-1", "seed is -1"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(tree, spec, words):
    (tree / "bad.json").write_text(json.dumps({"path": ["../x.png"]}))
    (tree / "deep.json").write_text("[" * 100_000)
    (tree / "ids.json").write_text('{"path": ["x.png"], "id": 5}')

    with pytest.raises(InputError, match=words):
        BENCHMARKS.create(spec.format(tree=tree))


def test_mistakes_name_the_probe_and_the_distractor_in_its_way():
    photos = [Photo(name, b"") for name in ("a1", "a2", "stranger", "nobody")]
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2], [-1.0, -1.0]])

    report = MegaFace("toy", photos, np.array([0, 0]), 2, resamples=0).score(embeddings)

    assert (report.mistakes[0].left, report.mistakes[0].right) == ("a1", "stranger")
    assert module.MISTAKES >= len(report.mistakes) == 2


@pytest.mark.parametrize("noise", ["drop", "centre", "zero", "push"])
def test_one_noisy_photo_unties_no_other(noise):
    """Every photo lies among the distractors: its mate, a copy of the photo's person, ties with it exactly."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(100, 32)).astype(np.float32)
    photos, identity = np.repeat(people, 2, axis=0), np.repeat(np.arange(100), 2)
    noisy = np.zeros(200 + 100, bool)
    noisy[0] = True

    rates = [
        made(identity, 100, noise=noise, noisy=noisy, ties=ties)
        .score(np.concatenate([photos, people]))
        .metrics["rank1"]
        for ties in ("miss", "hit")
    ]

    assert rates[0] <= 2 / 198 and rates[1] >= 1 - 2 / 198
