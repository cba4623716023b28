"""Extraction: what is written, that an interruption or a second process changes no byte, and that it can be scored."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facezoo import extract as extraction
from facezoo.embedder import Embedder
from facezoo.evaluation import evaluate
from facezoo.evaluation.feature_file import PENDING, FeatureFile
from facezoo.evaluation.features import Stored
from facezoo.evaluation.photos import Photo
from facezoo.extract import FAILURES, Source, extract, open_source
from facezoo.image import write_image
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract, InputError

SCRIPT = Path(__file__).parent / "extract_ranks.py"
CONTRACT = Contract(name="mosaic", input_size=(16, 16), embedding_dim=48, flip=True)


class Mosaic(Embedder):
    """Means of 4 x 4 blocks."""

    def __init__(self, contract=CONTRACT):
        super().__init__(contract)
        self.calls = 0

    def forward(self, batch):
        self.calls += 1
        return batch.reshape(len(batch), 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(len(batch), 48)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(extraction, "BLOCK", 4)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Six people with three photos each."""
    root = tmp_path_factory.mktemp("extract") / "people"
    generator = np.random.default_rng(0)
    for person in range(6):
        face = generator.integers(0, 200, (16, 16, 3))
        for photo in range(3):
            noisy = face + generator.integers(0, 40, face.shape)
            write_image(root / f"p{person}" / f"{photo}.png", noisy.astype(np.uint8))
    return root


def run(source, out, embed=None, **options):
    return extract(source, embed or Mosaic(), out, model="m", **options)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_rows_are_the_models_embeddings_in_the_order_of_the_names(people, tmp_path):
    source = open_source(str(people), "arcface")

    done = run(source, tmp_path / "out")

    stored = FeatureFile(tmp_path / "out")
    names = [f"p{person}/{photo}.png" for person in range(6) for photo in range(3)]
    assert (done.photos, done.no_face, done.unreadable, done.embedded) == (18, 0, 0, 18)
    assert list(stored.names()) == names
    assert stored.labels.tolist() == np.repeat(np.arange(6), 3).tolist()
    assert stored.header.contract == CONTRACT
    assert stored.header.alignment == "crops already aligned to template arcface"
    np.testing.assert_array_equal(stored.embeddings, Mosaic()([photo.read() for photo in source.photos]))
    assert isinstance(stored.embeddings, np.memmap)


def test_half_precision_and_halves(people, tmp_path):
    source = open_source(str(people), "arcface")
    run(source, tmp_path / "whole")
    run(source, tmp_path / "half", dtype="float16", halves=True)

    whole, half = FeatureFile(tmp_path / "whole"), FeatureFile(tmp_path / "half")

    assert (half.embeddings.dtype, half.embeddings.shape) == (np.float16, (18, 96))
    added = half.rows(np.arange(18), True)
    np.testing.assert_allclose(added, whole.embeddings, atol=4e-3)
    plain = Mosaic().under(flip=False)([photo.read() for photo in source.photos])
    np.testing.assert_allclose(half.rows(np.arange(18), False), plain, atol=2e-3)


def test_what_half_precision_cannot_hold_is_named(people, tmp_path):
    embed = Mosaic()
    embed.forward = lambda batch: np.full((len(batch), 48), 1e5, np.float32)
    with pytest.raises(InputError, match="photo 0 has numbers that float16 cannot hold"):
        run(open_source(str(people), "arcface"), tmp_path / "out", embed, dtype="float16")


def damaged(people, tmp_path):
    root = tmp_path / "damaged"
    for path in sorted(people.rglob("*.png")):
        target = root / path.relative_to(people)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes() if path.name != "1.png" or path.parent.name != "p2" else b"no image")
    return root


def test_damaged_images_are_counted_and_listed(people, tmp_path, caplog):
    done = run(open_source(str(damaged(people, tmp_path)), "arcface"), tmp_path / "out")

    stored = FeatureFile(tmp_path / "out")
    assert (done.no_face, done.unreadable) == (0, 1)
    assert np.flatnonzero(stored.failed).tolist() == [7]
    assert not stored.embeddings[7].any()
    with (tmp_path / "out" / FAILURES).open(newline="") as file:
        assert list(csv.reader(file)) == [["path", "why"], ["p2/1.png", "unreadable"]]
    assert "p2/1.png" in caplog.text


def test_photos_without_a_face_are_counted_and_listed(people, tmp_path):
    seen = []

    def locate(image):
        seen.append(1)
        return None if image[0, 0, 0] % 2 else np.array([[3, 5], [12, 5], [8, 8], [4, 12], [11, 12.0]])

    source = open_source(str(people))
    done = run(source, tmp_path / "out", locate=locate)

    odd = [photo.read()[0, 0, 0] % 2 == 1 for photo in source.photos]
    assert done.no_face == sum(odd) > 0
    assert FeatureFile(tmp_path / "out").failed.tolist() == odd
    assert len(seen) == 18
    with pytest.raises(InputError, match="need a detector"):
        run(source, tmp_path / "other")
    with pytest.raises(InputError, match="no photo has a face"):
        run(source, tmp_path / "none", locate=lambda image: None)


def test_a_folder_of_photos_alone_is_taken(people, tmp_path):
    flat = tmp_path / "flat"
    for path in people.rglob("*.png"):
        write_image(flat / f"{path.parent.name}-{path.name}", np.zeros((16, 16, 3), np.uint8))
    source = open_source(str(flat), "arcface")
    assert (len(source.photos), source.labels) == (18, None)
    assert source.photos[0].name == "p0-0.png"
    run(source, tmp_path / "out")
    assert FeatureFile(tmp_path / "out").labels is None


def test_an_extraction_that_was_stopped_goes_on_to_the_same_bytes(people, tmp_path):
    source = open_source(str(damaged(people, tmp_path)), "arcface")
    run(source, tmp_path / "whole")

    class Stops(Mosaic):
        def forward(self, batch):
            if self.calls == 4:  # two blocks, each with its mirror images
                raise KeyboardInterrupt
            return super().forward(batch)

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", Stops())
    stored = FeatureFile(tmp_path / "out")
    assert (stored.state != PENDING).sum() == 8
    with pytest.raises(InputError, match="10 photos are not extracted yet"):
        Stored.open(tmp_path / "out")

    embed = Mosaic()
    done = run(source, tmp_path / "out", embed)

    assert (done.embedded, embed.calls) == (10, 6)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    again = Mosaic()
    assert run(source, tmp_path / "out", again).embedded == again.calls == 0


@pytest.mark.parametrize("change", [{"dtype": "float16"}, {"halves": True}, {"model": "n"}])
def test_a_folder_of_other_features_is_left_alone(people, tmp_path, change):
    source = open_source(str(people), "arcface")
    run(source, tmp_path / "out")
    with pytest.raises(InputError, match="another"):
        extract(source, Mosaic(), tmp_path / "out", **{"model": "m", **change})


def test_other_photos_are_not_mixed_in(people, tmp_path):
    source = open_source(str(people), "arcface")
    run(source, tmp_path / "out")
    with pytest.raises(InputError, match="another photos, data"):
        run(Source("fewer", [source.photos[0]], "arcface"), tmp_path / "out")


SPEC = "folder:root={},aligned=arcface,folds=3,resamples=20"


def test_extracted_features_score_as_the_model_does(people, tmp_path):
    benchmark = BENCHMARKS.create(SPEC.format(people))
    run(open_source(str(people), "arcface"), tmp_path / "out")
    stored = Stored.open(tmp_path / "out")

    found = evaluate(benchmark, stored, embeddings_of=stored.embedded)
    wanted = evaluate(benchmark, Mosaic())

    assert (found.metrics, found.intervals, found.curves) == (wanted.metrics, wanted.intervals, wanted.curves)
    assert found.protocol["embeddings"].startswith("read from out")
    assert isinstance(stored.embedded(benchmark).embeddings, np.memmap)
    with pytest.raises(InputError, match="was extracted with flip"):
        Stored.open(tmp_path / "out", flip=False)


def test_halves_serve_with_and_without_flip(people, tmp_path):
    benchmark = BENCHMARKS.create(SPEC.format(people))
    run(open_source(str(people), "arcface"), tmp_path / "out", halves=True)
    for flip in (True, False):
        stored = Stored.open(tmp_path / "out", flip)
        found = evaluate(benchmark, stored, embeddings_of=stored.embedded)
        wanted = evaluate(benchmark, Mosaic().under(flip=flip))
        assert found.metrics == pytest.approx(wanted.metrics, abs=1e-6)
        assert found.protocol["flip"] == wanted.protocol["flip"]


def test_a_benchmark_of_part_of_the_photos_finds_its_rows(people, tmp_path):
    run(open_source(str(people), "arcface"), tmp_path / "out")
    stored = Stored.open(tmp_path / "out")
    names = ["p4/2.png", "p0/0.png", "p4/1.png"]
    np.testing.assert_array_equal(stored.file.rows_of(names), [14, 0, 13])
    with pytest.raises(InputError, match=r"no embedding of 2 of 3 photos, the first: x/1.png, y.png"):
        stored.file.rows_of(["x/1.png", "p4/2.png", "y.png"])


class Halved:
    """A benchmark that takes photos and mirror images apart, as IJB's flip=concat does."""

    name, aligned = "halved", "arcface"

    def __init__(self, photos):
        self.photos = [*photos, *(Photo(photo.name, photo.source, mirrored=True) for photo in photos)]


def test_photos_and_mirror_images_apart_need_halves(people, tmp_path):
    source = open_source(str(people), "arcface")
    benchmark = Halved(list(source.photos))
    run(source, tmp_path / "out")
    run(source, tmp_path / "halves", halves=True)
    assert Stored.open(tmp_path / "halves").embedded(benchmark).embeddings.shape == (18, 96)
    with pytest.raises(InputError, match="with --halves"):
        Stored.open(tmp_path / "out").embedded(benchmark)


@pytest.mark.parametrize(
    ("file", "data"), [("features.json", b"{}"), ("embeddings.npy", b"x"), ("state.npy", b""), ("embeddings.npy", None)]
)
def test_damaged_features_are_named(people, tmp_path, file, data):
    run(open_source(str(people), "arcface"), tmp_path / "out")
    path = tmp_path / "out" / file
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(InputError, match="not a readable feature file"):
        FeatureFile(tmp_path / "out")
    with pytest.raises(InputError, match="no folder of features"):
        FeatureFile(tmp_path)


def test_a_benchmark_says_itself_what_it_is(people, tmp_path):
    pairs = "p0/0.png p0/1.png 1\np0/0.png p1/1.png 0\np0/1.png p0/0.png 1\np0/1.png p1/1.png 0\n"
    (tmp_path / "pairs.txt").write_text(pairs)
    source = open_source(f"pairs:path={tmp_path / 'pairs.txt'},root={people},aligned=arcface,folds=2")
    assert [photo.name for photo in source.photos] == ["p0/0.png", "p0/1.png", "p1/1.png"]
    assert (source.aligned, source.labels) == ("arcface", None)
    with pytest.raises(InputError, match="says itself"):
        open_source(f"pairs:path={tmp_path / 'pairs.txt'},root={people}", "arcface")


def started(count, *tokens):
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.run(
        [*command, SCRIPT, *map(str, tokens)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_killed_processes_and_several_of_them_change_no_byte(people, tmp_path):
    root = damaged(people, tmp_path)
    alone = started(1, root, tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr[-3000:]
    for stop in (1, 2, 2):
        killed = started(1, root, tmp_path / "killed", stop)
        assert killed.returncode == -signal.SIGKILL
    gone_on = started(2, root, tmp_path / "killed")
    assert gone_on.returncode == 0, gone_on.stderr[-3000:]
    two = started(2, root, tmp_path / "two")
    assert two.returncode == 0, two.stderr[-3000:]

    assert content(tmp_path / "killed") == content(tmp_path / "two") == content(tmp_path / "alone")
    assert sorted(int(line) for line in two.stdout.split()) == [6, 12]


def test_the_memory_of_a_large_extraction_is_bounded(tmp_path):
    """100,000 x 512 numbers are 200 MB."""
    done = started(1, "large", tmp_path / "out", 100_000)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) < 100  # MB
    assert FeatureFile(tmp_path / "out").embeddings.shape == (100_000, 512)
