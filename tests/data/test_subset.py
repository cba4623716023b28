import pickle

import numpy as np
import pytest

from facezoo.data.dataset import Dataset
from facezoo.data.opening import open_dataset
from facezoo.data.problems import Problems
from facezoo.data.subset import filtered, read_names, shallow, spec_text, split, write_subset
from facezoo.image import encode_jpeg, write_image
from facezoo.registry import DATASETS, parse_spec
from facezoo.types import InputError

SIZES = {"ada": 1, "bob": 2, "eve": 5, "zoe": 12}


class Packed(Dataset):
    """Images that are no files: a plain colour each."""

    def __init__(self, sizes=SIZES):
        self.classes = list(sizes)
        self.labels = np.repeat(np.arange(len(sizes)), list(sizes.values()))
        self.problems = Problems(len(self.labels))
        self.shards = (np.arange(len(self.labels)) // 4).astype(np.int32)
        self.weights = np.arange(len(self.labels)) + 1.0
        self.spaces = np.arange(len(sizes)) % 2

    def encoded(self, index):
        return encode_jpeg(np.full((8, 8, 3), 10 * index, np.uint8))

    def name(self, index):
        return f"packed {index}"


@pytest.fixture
def packed(monkeypatch):
    monkeypatch.setitem(DATASETS._factories, "packed", Packed)
    return Packed()


@pytest.fixture
def folder(tmp_path):
    for name, count in SIZES.items():
        for k in range(count):
            write_image(tmp_path / "faces" / name / f"{k}.png", np.full((8, 8, 3), 10 * k, np.uint8))
    return tmp_path / "faces"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def open_samples(path, text):
    return DATASETS.create(f"subset:of=packed:,samples={write(path, text)}")


def test_a_subset_has_the_samples_of_its_file_in_order(packed, tmp_path):
    part = open_samples(tmp_path / "s.txt", "4\n1\n0\n")
    assert part.classes == ["ada", "bob", "eve"] and part.labels.tolist() == [2, 1, 0]
    assert part.name(0) == "packed 4" and part.encoded(1) == packed.encoded(1)
    assert part.weights.tolist() == [5, 2, 1] and part.spaces.tolist() == [0, 1, 0]
    assert part.shards is None  # 4 lies in another shard than what follows
    assert open_samples(tmp_path / "r.txt", "0\n1\n4\n").shards.tolist() == [0, 0, 1]
    assert part.digest() != open_samples(tmp_path / "t.txt", "5\n1\n0\n").digest()


def test_a_name_after_the_number_moves_a_sample(packed, tmp_path):
    part = open_samples(tmp_path / "s.txt", "0\n1\tada\n2\tNew One\n3\teve\n")
    assert part.classes == ["ada", "eve", "New One"] and part.labels.tolist() == [0, 0, 2, 1]
    assert part.path(0) == packed.path(0) and part.path(1) == f"ada/{packed.path(1)}" and part.path(3) == packed.path(3)
    assert part.spaces.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nx\n", "s.txt:2: 'x' is not a sample number"),
        ("1\n-2\n", "s.txt:2: '-2' is not a sample number"),
        ("1\n2\t \n", "s.txt:2: .* is not a sample number, or one and after a tab a name"),
        ("1\n\n2\n", "s.txt:2: '' is not a sample number"),
        ("1\n20\n", "s.txt:2: sample 20, the data have 0 to 19"),
        ("3\n1\n3\n", "sample 3 comes 2 times"),
        ("", "names no sample"),
    ],
)
def test_a_bad_file_of_samples_is_refused(packed, tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        open_samples(tmp_path / "s.txt", text)


def test_min_images_keeps_identities_with_exactly_so_many(packed):
    assert set(packed.labels[filtered(packed, min_images=5)]) == {2, 3}
    assert set(packed.labels[filtered(packed, min_images=6)]) == {3}


def test_max_images_draws_and_min_images_counts_before(packed):
    samples = filtered(packed, min_images=2, max_images=3, seed=1)
    assert np.bincount(packed.labels[samples]).tolist() == [0, 2, 3, 3]
    assert not np.array_equal(samples, filtered(packed, min_images=2, max_images=3, seed=2))
    assert (np.diff(samples) > 0).all()


def test_identities_are_kept_and_dropped_by_name(packed, tmp_path):
    names = read_names(write(tmp_path / "n.txt", "\ufeffzoe\n\n eve \n"))
    assert names == ["zoe", "eve"]
    assert set(packed.labels[filtered(packed, keep=names)]) == {2, 3}
    assert set(packed.labels[filtered(packed, keep=names, drop=["zoe"])]) == {2}
    with pytest.raises(InputError, match="no identity 'max'"):
        filtered(packed, drop=["max"])


def test_a_part_of_a_verification_pack_keeps_the_pairs_within_it(tmp_path):
    images = [bytes([k]) * 20 for k in range(6)]
    (tmp_path / "a.bin").write_bytes(pickle.dumps((images, [True, False, True]), 4))
    (tmp_path / "part.txt").write_text("5\n0\n1\n4\n")
    pairs = DATASETS.create(f"subset:of={tmp_path / 'a.bin'},samples={tmp_path / 'part.txt'}").pairs()
    assert [(int(a), int(b), bool(same)) for a, b, same in zip(*pairs)] == [(1, 2, True), (3, 0, True)]


def test_shallow_draws_so_many_of_each(packed):
    with pytest.raises(InputError, match="images is 0, it must be 1 or more"):
        shallow(packed, 0)
    assert np.bincount(packed.labels[shallow(packed)]).tolist() == [0, 2, 2, 2]
    assert np.bincount(packed.labels[shallow(packed, keep_small=True)]).tolist() == [1, 2, 2, 2]


def test_a_split_by_identity_shares_nobody(packed):
    one, two = split(packed, [0.75, 0.25], "identity", seed=3)
    assert sorted([*one, *two]) == list(range(len(packed)))
    assert len(set(packed.labels[one])) == 3 and not set(packed.labels[one]) & set(packed.labels[two])


def test_a_split_by_image_cuts_every_identity_by_the_shares():
    data = Packed({str(k): 30 for k in range(50)})
    parts = split(data, [0.6, 0.3, 0.1], "image", seed=3)
    assert sorted(np.concatenate(parts)) == list(range(1500))
    for part, share in zip(parts, (18, 9, 3)):
        assert np.abs(np.bincount(data.labels[part], minlength=50) - share).max() <= 1
    assert not np.array_equal(parts[0], split(data, [0.6, 0.3, 0.1], "image", seed=4)[0])


@pytest.mark.parametrize("parts", [[1.0], [0.5, 0.6], [1.5, -0.5], [0.99999, 0.00001]])
def test_shares_that_make_no_split_are_refused(packed, parts):
    with pytest.raises(InputError, match=r"parts are|would be empty"):
        split(packed, parts, "identity")


def test_a_part_of_image_files_is_a_list_with_names(folder, tmp_path):
    data = open_dataset(str(folder))
    spec = write_subset(data, str(folder), filtered(data, min_images=2), tmp_path / "out, 1" / "part.txt")
    part = open_dataset(spec)
    assert spec.startswith("list:path='") and part.classes == ["bob", "eve", "zoe"]
    assert not part.problems and part.path(0) == "bob/0.png" and part.encoded(0) == data.encoded(1)


def test_a_part_of_other_data_is_a_subset_and_its_part_refers_to_the_whole(packed, tmp_path):
    spec = write_subset(packed, "packed:", filtered(packed, min_images=2), tmp_path / "a.txt", np.array([0, 2, 2, 3]))
    part = open_dataset(spec)
    assert part.classes == ["eve", "zoe"] and np.bincount(part.labels).tolist() == [7, 12]
    again = open_dataset(write_subset(part, spec, np.array([0, 2, 18]), tmp_path / "b.txt"))
    assert again.of == "packed:" and again.samples.tolist() == [1, 3, 19] and again.classes == ["eve", "zoe"]


def test_an_empty_part_is_not_written(packed, tmp_path):
    with pytest.raises(InputError, match="no image would be left"):
        write_subset(packed, "packed:", np.empty(0, np.int64), tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()


def test_specs_hold_any_one_kind_of_quotes():
    assert parse_spec(spec_text("a", of="x:p='y, z'", n=3)) == ("a", {"of": "x:p='y, z'", "n": "3"})
    with pytest.raises(InputError, match="both kinds of quotes"):
        spec_text("a", of="'\"")


def test_names_that_a_list_cannot_hold_are_refused(packed, folder, tmp_path):
    (folder / "bob").rename(folder / " bob")
    data = open_dataset(str(folder))
    with pytest.raises(InputError, match=r"the path ' bob/0\.png' cannot stand in a list"):
        write_subset(data, str(folder), np.arange(len(data)), tmp_path / "a.txt")
    packed.classes[0] = " ada"
    with pytest.raises(InputError, match="the identity ' ada' cannot stand in a list"):
        write_subset(packed, "packed:", np.arange(3), tmp_path / "a.txt", np.array([0, 0, 2, 3]))
    assert not list(tmp_path.glob("a.*"))
