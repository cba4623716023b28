"""From photos to a report: alignment by the contract, failures, order, speed."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from facezoo.align import align, template_points
from facezoo.evaluation import Photo, Verification, embed_photos, evaluate, needs_locate, to_json
from facezoo.evaluation.features import Features
from facezoo.evaluation.pages import write_html
from facezoo.evaluation.photos import Crops
from facezoo.evaluation.run import AT_THRESHOLD
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract, InputError, unit


class Mosaic:
    """Embeds a crop as its 8 x 8 mosaic, less its mean: weak, but it sees what the crop shows."""

    def __init__(self, size=(112, 112), template="arcface"):
        self.contract = Contract(name="mosaic", input_size=size, template=template, embedding_dim=192, flip=False)
        self.calls = 0

    def __call__(self, crops):
        self.calls += 1
        rows = [np.empty((0, 192))]
        for crop in crops:
            assert crop.shape == (*self.contract.input_size, 3)
            blocks = crop[: crop.shape[0] // 8 * 8, : crop.shape[1] // 8 * 8].astype(np.float64)
            blocks = blocks.reshape(8, crop.shape[0] // 8, 8, crop.shape[1] // 8, 3).mean(axis=(1, 3)).reshape(1, -1)
            rows.append(blocks - blocks.mean())
        return np.concatenate(rows).astype(np.float32)


def portraits(people=6, size=112):
    """Two noisy photos of each of some patterns."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(40, 216, (people, 8, 8, 3))
    photos = []
    for person, pattern in enumerate(patterns):
        for k in range(2):
            image = np.kron(pattern, np.ones((size // 8, size // 8, 1))) + generator.normal(0, 10, (size, size, 3))
            photos.append(Photo(f"{person}/{k}", np.clip(image, 0, 255).astype(np.uint8)))
    return photos


def toy(photos, aligned="arcface", **options):
    """Every photo against its twin and against the next person's."""
    one = np.arange(0, len(photos), 2)
    left, right = np.concatenate([one, one]), np.concatenate([one + 1, (one + 2) % len(photos)])
    identity = np.arange(len(photos)) // 2
    return Verification(
        "toy", photos, left, right, identity[left] == identity[right], 3, aligned, identity, resamples=50, **options
    )


def test_crops_are_embedded_in_order_and_told_apart():
    embed = Mosaic()
    report = evaluate(toy(portraits()), embed)

    assert report.metrics["accuracy"] == 1.0
    assert report.contract == embed.contract
    assert report.protocol["alignment"] == "crops already aligned to template arcface"
    assert report.protocol["flip"] == "none"
    assert report.speed.photos == 12
    assert report.speed.photos_per_second > 0


def test_the_report_is_the_same_in_every_run_but_for_the_speed():
    one, other = (evaluate(toy(portraits()), Mosaic()) for _ in range(2))
    assert to_json([one.without_speed()]) == to_json([other.without_speed()])


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        (-1.0, "cosine -1.0000 accepts 6 of 6 impostor pairs and rejects 0 of 6 genuine ones"),
        (1.0, "cosine 1.0000 accepts 0 of 6 impostor pairs and rejects 6 of 6 genuine ones"),
        (0.999912, "cosine 0.999912 accepts 0 of 6 impostor pairs and rejects 6 of 6 genuine ones"),
    ],
)
def test_the_models_own_threshold_is_put_to_the_test(threshold, words):
    embed = Mosaic()
    assert AT_THRESHOLD not in evaluate(toy(portraits()), embed).protocol

    embed.contract = replace(embed.contract, threshold=threshold)
    assert evaluate(toy(portraits()), embed).protocol[AT_THRESHOLD] == words


def test_crops_of_another_template_are_refused():
    with pytest.raises(InputError, match="wants crops aligned to 'dlib'"):
        evaluate(toy(portraits()), Mosaic(template="dlib"))


def test_crops_of_an_unknown_template_are_refused():
    with pytest.raises(InputError, match="unknown template 'x'"):
        evaluate(toy(portraits(), aligned="x"), Mosaic())


@pytest.mark.parametrize("size", [(56, 56), (112, 96), (224, 224)])
def test_crops_of_another_size_are_scaled_as_the_template_is(size):
    corner = np.zeros((112, 112, 3), np.uint8)
    eye = template_points("arcface", (112, 112))[0].round().astype(int)
    corner[eye[1] - 4 : eye[1] + 5, eye[0] - 4 : eye[0] + 5] = 255

    crop = Crops([], Mosaic(size).contract, "arcface").crop(Photo("x", corner))

    rows, columns = np.nonzero(crop[..., 0] > 127)
    found = [columns.mean(), rows.mean()]
    np.testing.assert_allclose(found, template_points("arcface", size)[0], atol=1.2)


def test_scaled_crops_are_counted_in_the_protocol():
    report = evaluate(toy(portraits()), Mosaic((56, 56)))
    assert report.protocol["alignment"].endswith("12 of them scaled to 56 x 56")


def raw(photos, shift=30):
    """The portraits somewhere in a larger picture, with the landmarks that lead back to them."""
    points, found = template_points("arcface", (112, 112)) + shift, []
    for photo in photos:
        image = np.zeros((200, 200, 3), np.uint8)
        image[shift : shift + 112, shift : shift + 112] = photo.source
        found.append(Photo(photo.name, image, points))
    return found


def test_raw_photos_are_aligned_by_the_contract():
    photos = portraits()
    from_crops = embed_photos(toy(photos), Mosaic())
    from_raw = embed_photos(toy(raw(photos), aligned=None), Mosaic())

    np.testing.assert_allclose(from_raw.embeddings, from_crops.embeddings, atol=1e-3)
    assert not from_raw.failed.any()


def test_raw_photos_without_landmarks_need_a_detector():
    benchmark = toy(portraits(), aligned=None)
    assert needs_locate(benchmark)
    with pytest.raises(InputError, match="give landmarks"):
        evaluate(benchmark, Mosaic())


def test_the_detector_is_asked_from_one_thread_at_a_time():
    inside, most, lock = 0, 0, threading.Lock()

    def locate(image):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        with lock:
            inside -= 1
        return template_points("arcface", (112, 112))

    crops = Crops(portraits(), Mosaic().contract, None, locate, threads=4)
    assert len(list(crops)) == 12
    assert most == 1


def test_photos_without_a_face_are_false_non_matches_and_reported():
    photos = [replace(photo, landmarks=None) for photo in raw(portraits())]
    blind = photos[3].source

    def locate(image):
        return None if np.array_equal(image, blind) else template_points("arcface", (112, 112)) + 30

    report = evaluate(toy(photos, aligned=None), Mosaic(), locate)

    assert report.protocol["photos without a face"] == 1
    assert report.protocol["pairs without a comparison"].startswith("1:")
    assert report.metrics["accuracy"] == pytest.approx(11 / 12)
    assert report.metrics["accuracy_without_failures"] == 1.0
    assert [(m.left, m.right, m.score) for m in report.mistakes] == [("1/0", "1/1", None)]


def test_landmarks_that_come_with_the_photos_are_the_only_ones_used():
    photos = raw(portraits())
    photos[3] = replace(photos[3], landmarks=None)

    def locate(image):
        raise AssertionError("the detector is not asked")

    found = embed_photos(toy(photos, aligned=None), Mosaic(), locate)

    assert found.failed.nonzero()[0].tolist() == [3]
    assert not found.embeddings[3].any()
    assert found.embeddings[4].any()


def test_a_benchmark_without_any_face_is_refused():
    with pytest.raises(InputError, match="no photo has a face"):
        evaluate(toy(portraits(), aligned=None), Mosaic(), lambda image: None)


def test_a_damaged_photo_is_named_and_counts_as_one_without_a_face(tmp_path, caplog):
    photos = portraits()
    photos[5] = Photo("2/1", b"no image")
    features = Features(tmp_path, "a")

    first, again = (evaluate(toy(photos), Mosaic(), embeddings_of=features) for _ in range(2))

    assert "unreadable photos, counted as photos without a face: 1 (2/1: " in caplog.text
    assert first.protocol["unreadable photos"] == "1, counted as photos without a face"
    assert first.protocol["photos without a face"] == 1
    assert first.without_speed() == again.without_speed()
    write_html([first], tmp_path / "page.html", [toy(photos)])


def test_photos_that_all_are_damaged_are_refused():
    with pytest.raises(InputError, match=r"no photo has a face; unreadable: 12 \(0/0: "):
        evaluate(toy([Photo(photo.name, b"no image") for photo in portraits()]), Mosaic())


def test_what_a_list_of_pairs_should_not_have_is_told():
    left, right = np.array([0, 0, 2, 2, 3, 1, 0, 2]), np.array([1, 2, 3, 2, 2, 0, 3, 0])
    same = np.array([True, False, True, True, False, True, False, False])
    photos = portraits(2)

    words = evaluate(Verification("odd", photos, left, right, same, 2, "arcface", resamples=0), Mosaic()).protocol

    assert words["pairs of a photo with itself"].startswith("1: ")
    assert words["pairs listed again"].startswith("3: ")  # 0-1 twice, 0-2 twice, 2-3 twice, once of each kind
    assert words["pairs listed as both"].startswith("1 as genuine and as impostor")
    assert (
        not {"pairs listed again", "pairs of a photo with itself"}
        & evaluate(toy(portraits()), Mosaic()).protocol.keys()
    )


def test_no_more_photos_are_read_than_wait():
    read, photos = [], portraits(60)

    class Counted(Photo):
        def read(self):
            read.append(self.name)
            return super().read()

    crops = iter(Crops([Counted(p.name, p.source) for p in photos], Mosaic().contract, "arcface", ahead=8))
    next(crops)
    time.sleep(0.2)
    assert len(read) <= 9
    crops.close()


def test_embeddings_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        toy(portraits()).score(np.full((12, 4), np.nan))


def test_features_are_found_again_for_the_same_model_and_photos_only(tmp_path):
    features, embed = Features(tmp_path, "a"), Mosaic()
    first, again = (evaluate(toy(portraits()), embed, embeddings_of=features) for _ in range(2))
    assert embed.calls == 1
    assert first.without_speed() == again.without_speed()
    assert again.speed is None

    evaluate(toy(portraits()), embed, embeddings_of=Features(tmp_path, "b"))
    evaluate(toy(portraits(7)), embed, embeddings_of=features)
    other = Mosaic((56, 56))
    evaluate(toy(portraits()), other, embeddings_of=features)
    assert (embed.calls, other.calls) == (3, 1)


def test_a_damaged_feature_file_is_named(tmp_path):
    features = Features(tmp_path, "a")
    evaluate(toy(portraits()), Mosaic(), embeddings_of=features)
    next(tmp_path.glob("*/embeddings.npy")).write_bytes(b"x")
    with pytest.raises(InputError, match="not a readable feature file"):
        evaluate(toy(portraits()), Mosaic(), embeddings_of=features)


@pytest.mark.data
def test_raw_lfw_photos_become_the_crops_of_any_contract(data_root):
    benchmark = BENCHMARKS.create(f"lfw:root={data_root / 'lfw'},landmarks=auto")
    some = benchmark.photos[:8]
    for template, size in (("arcface", (112, 112)), ("dlib", (150, 150)), ("arcface", (112, 96))):
        crops = Crops(some, Contract(template=template, input_size=size))
        for photo, crop in zip(some, crops, strict=True):
            np.testing.assert_array_equal(crop, align(photo.read(), photo.landmarks, template, size))


@pytest.mark.data
def test_lfw_counts_and_folds(data_root):
    benchmark = BENCHMARKS.create(f"lfw:root={data_root / 'lfw'},landmarks=auto")

    assert (len(benchmark.photos), len(benchmark.same), int(benchmark.same.sum())) == (3811, 3000, 1500)
    assert np.bincount(benchmark.folds).tolist() == [600] * 5
    assert [int(benchmark.same[benchmark.folds == k].sum()) for k in range(5)] == [300] * 5
    assert all(photo.landmarks is not None for photo in benchmark.photos)


@pytest.mark.data
def test_even_a_mosaic_of_real_crops_beats_chance(data_root):
    whole = BENCHMARKS.create(f"lfw:root={data_root / 'lfw112'},aligned=arcface,resamples=0")
    kept = np.flatnonzero(whole.folds < 1)
    used = np.unique(np.concatenate([whole.left[kept], whole.right[kept]]))
    part = Verification(
        "part",
        [whole.photos[k] for k in used],
        np.searchsorted(used, whole.left[kept]),
        np.searchsorted(used, whole.right[kept]),
        whole.same[kept],
        5,
        "arcface",
        resamples=0,
    )
    assert evaluate(part, Mosaic()).metrics["auc"] > 0.6


def test_perfect_embeddings_of_the_toy_are_perfect():
    person = np.repeat(np.arange(20), 2)
    left, right = np.arange(40), np.arange(1, 41) % 40
    pairs = Verification("toy", [], left, right, person[left] == person[right])

    metrics = pairs.score(np.eye(20)[person]).metrics

    assert (metrics["accuracy"], metrics["std"], metrics["auc"], metrics["eer"]) == (1.0, 0.0, 1.0, 0.0)


def test_scores_do_not_depend_on_the_norm_of_embeddings():
    benchmark = toy(portraits())
    embeddings = embed_photos(benchmark, Mosaic()).embeddings
    scaled = embeddings * np.random.default_rng(0).uniform(0.5, 20, (12, 1))
    np.testing.assert_allclose(benchmark.scores(scaled), benchmark.scores(unit(embeddings)), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rule": "best"}, "unknown threshold rule"),
        ({"resamples": -1}, "resamples"),
        ({"same": np.ones(3, bool)}, "differ in length"),
        ({"identity": np.zeros(12, np.intp)}, "contradict the identities"),
    ],
)
def test_a_benchmark_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        replace(toy(portraits()), **change)


def test_embeddings_of_too_few_photos_are_refused():
    with pytest.raises(InputError, match="for 12 photos"):
        toy(portraits()).score(np.ones((5, 4)))
