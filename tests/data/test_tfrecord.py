"""TFRecord shards and TFace's index files: golden bytes both ways, checksums, every form of index, any damage."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.data.crc32c import crc32c
from facezoo.data.mapped import MappedFile
from facezoo.data.pairs import write_pairs
from facezoo.data.tfrecord import frame, read_record
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

FILES = Path(__file__).parent / "files"
GOLDEN = bytes.fromhex("16000000000000004f61be280a140a120a05696d61676512090a070a05ffd8414141b236efdd")  # TensorFlow
IMAGE = b"\xff\xd8AAA"


def crc_by_bits(data):
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "crc"),  # RFC 3720, B.4, and the check value of the catalogue
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_gives_the_published_values(data, crc):
    assert crc32c(data) == crc


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 1023, 1024, 1025, 1027, 1028, 2048, 5000, 262144 + 1029])
def test_crc32c_is_that_of_the_definition_for_any_length(length):
    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data) == crc32c(memoryview(data)) == crc_by_bits(data)


def test_the_golden_record_is_written_and_read(tmp_path):
    assert frame(IMAGE) == GOLDEN
    (tmp_path / "x").write_bytes(GOLDEN * 2)
    assert read_record(MappedFile(tmp_path / "x"), 38, check=True) == IMAGE


@pytest.mark.parametrize("length", [1, 127, 128, 16383, 16384, 100_000])
def test_images_of_any_length_come_back(tmp_path, length):
    image = np.random.default_rng(0).bytes(length)
    (tmp_path / "x").write_bytes(frame(image))
    assert read_record(MappedFile(tmp_path / "x"), 0, check=True) == image


def test_other_features_are_passed_over(tmp_path):
    def entry(key, feature):
        inner = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(feature)]) + feature
        return b"\x0a" + bytes([len(inner)]) + inner

    features = entry(b"label", b"\x1a\x03\x0a\x01\x07") + entry(b"w", b"\x12\x06\x0a\x04abcd")
    features += entry(b"image", b"\x0a\x07\x0a\x05" + IMAGE)
    data = b"\x08\x05\x11abcdefgh\x1dabcd" + b"\x0a" + bytes([len(features)]) + features
    head = len(data).to_bytes(8, "little")
    (tmp_path / "x").write_bytes(head + bytes(4) + data + bytes(4))
    assert read_record(MappedFile(tmp_path / "x"), 0) == IMAGE


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (0, "checksum of the length"),
        (9, "checksum of the length"),
        (30, "checksum of the data"),
        (36, "checksum of the data"),
    ],
)
def test_a_changed_byte_is_noticed_by_the_checksums(tmp_path, place, words):
    data = bytearray(GOLDEN)
    data[place] ^= 0x10
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InputError, match=f"x: byte 0: the {words}"):
        read_record(MappedFile(tmp_path / "x"), 0, check=True)


@pytest.mark.parametrize(
    "spec", ["tfrecord:path={}/tfset", "tfrecord:path={}/tfset.txt", "tfrecord:path={}/tfset/tfset.index"]
)
def test_files_of_another_writer_are_read(spec):
    data = DATASETS.create(spec.format(FILES) + ",check=true,crc=true")
    assert data.labels.tolist() == [0, 0, 1, 1, 1, 2] and data.shards.tolist() == [0] * 6
    assert data.classes == (["0", "1", "2"] if spec.endswith("txt") else ["person0", "person1", "person2"])
    assert data.read(5).shape == (24, 24, 3)
    assert data.path(5) == "person2/5.jpg"
    assert pickle.loads(pickle.dumps(data)).encoded(3) == data.encoded(3)  # noqa: S301 - our own


@pytest.mark.parametrize("shard", [1, 3, 4, 100])
@pytest.mark.parametrize("order", [list(range(8)), [7, 0, 4, 1, 5, 2, 6, 3]])
def test_a_set_comes_back_whole(tmp_path, people, write, same, shard, order):
    people.labels, people._names = people.labels[order], people._names.take(np.array(order))
    files = write(f"tfrecord:path={tmp_path / 'set'},shard={shard}", people)
    assert len(files) == -(-8 // shard) + 3
    for path in (tmp_path / "set", tmp_path / "set/set.txt"):
        data = DATASETS.create(f"tfrecord:path={path},check=true")
        assert same(data, people)
        assert [data.path(k) for k in range(8)] == [people.path(k) for k in range(8)]
        assert data.shards.tolist() == [k // shard for k in range(8)]
    again = write(f"tfrecord:path={tmp_path / 'again/set'},shard={shard}", people, size=5)
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def moved(tmp_path):
    shutil.copytree(FILES / "tfset", tmp_path / "tfset")
    shutil.copy(FILES / "tfset.txt", tmp_path / "tfset.txt")
    return tmp_path / "tfset.txt"


def test_the_shards_may_lie_elsewhere_than_the_index(tmp_path):
    index = moved(tmp_path)
    (tmp_path / "lists").mkdir()
    index = index.rename(tmp_path / "lists/train.txt")
    with pytest.raises(InputError, match=r"lists/tfset/tfset-00000.tfrecord: no such file"):
        DATASETS.create(f"tfrecord:path={index}")
    assert len(DATASETS.create(f"tfrecord:path={index},root={tmp_path}")) == 6


def test_a_folder_may_be_renamed(tmp_path, people, write, same):
    write(f"tfrecord:path={tmp_path / 'set'},shard=3", people)
    renamed = (tmp_path / "set").rename(tmp_path / "other[1]")
    assert same(DATASETS.create(f"tfrecord:path='{renamed}'"), people)


def test_several_sets_in_one_index(tmp_path):
    index = moved(tmp_path)
    shutil.copytree(tmp_path / "tfset", tmp_path / "other")
    (tmp_path / "other/tfset-00000.tfrecord").rename(tmp_path / "other/other-00007.tfrecord")
    text = index.read_text()
    other = text.replace("tfset\t0", "other\t7").replace("\t2\n", "\t9\n")
    index.write_text(text + other)
    data = DATASETS.create(f"tfrecord:path={index}")
    assert data.labels.tolist() == [0, 0, 1, 1, 1, 2, 0, 0, 1, 1, 1, 3] and data.classes == ["0", "1", "2", "9"]
    assert data.problems.gaps.count == 6
    assert data.encoded(2) == data.encoded(8)
    assert data.shards.tolist() == [0] * 6 + [1] * 6
    index.write_text(other + text + other)
    assert DATASETS.create(f"tfrecord:path={index}").shards is None


def test_an_index_of_two_fields_lists_image_files(people, tmp_path):
    (tmp_path / "people/train.txt").write_text("ada/0 x.jpg\t0\nbob/0 x.jpg\t1\n")
    data = DATASETS.create(f"tfrecord:path={tmp_path / 'people/train.txt'}")
    assert data.labels.tolist() == [0, 1] and data.encoded(1) == people.encoded(7)


def test_an_index_of_pairs_gives_each_record_once_and_the_pairs(tmp_path):
    index = moved(tmp_path)
    lines = index.read_text().splitlines()
    chosen = [(4, 2), (0, 1), (4, 0), (5, 4)]
    index.write_text("".join(f"{lines[a]}\t{lines[b]}\n" for a, b in chosen))
    data, whole = DATASETS.create(f"tfrecord:path={index}"), DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'}")
    assert [data.encoded(k) for k in range(len(data))] == [whole.encoded(k) for k in (4, 2, 0, 1, 5)]
    assert data.labels.tolist() == [1, 1, 0, 0, 2]
    pairs = data.pairs()
    assert pairs.left.tolist() == [0, 2, 0, 4] and pairs.right.tolist() == [1, 3, 2, 0]
    assert pairs.same.tolist() == [True, True, False, False]
    write_pairs(tmp_path / "pairs.txt", pairs, data.path)
    assert (tmp_path / "pairs.txt").read_text().splitlines()[0] == f"{data.path(0)}\t{data.path(1)}\t1"
    small = DATASETS.create(f"tfrecord:path={index},min_images=2")
    assert len(small) == 4 and small.pairs().left.tolist() == [0, 2, 0]
    index.write_text(f"{lines[0]}\t{lines[1]}\n{lines[2]}\t{lines[0][:-1]}1\n")
    with pytest.raises(InputError, match="offset 0 has the labels 0 and 1"):
        DATASETS.create(f"tfrecord:path={index}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tfset\t0\t0\n", "names no image in a folder of its identity"),
        ("tfset\t0\t0\tx\n", "tfset.txt:1: .* is not NAME TAB NUMBER TAB NUMBER TAB NUMBER"),
        ("tfset\t0\t0\t0\n\ntfset\t0\t7\n", "tfset.txt:3"),
        ("tfset\t0\t0\t-1\n", "tfset.txt:1"),
        ("..\t0\t0\t1\n", "no name of a set"),
        ("a/b\t0\t0\t1\n", "no name of a set"),
        ("a\0b\t0\t0\t1\n", "no name of a set"),
        ("tfset\t3\t0\t1\n", "tfset-00003.tfrecord: no such file"),
        ("tfset\t100000\t0\t1\n", "last possible one is 99999"),
        ("a\tb\tc\td\te\n", "5 fields"),
        ("", "1 fields"),
    ],
)
def test_a_wrong_index_is_named(tmp_path, text, words):
    index = moved(tmp_path)
    index.write_text(text)
    with pytest.raises(InputError, match=words):
        DATASETS.create(f"tfrecord:path={index}")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("tfset\t0\t4\t0\n", "byte 4: a record of .* reaches beyond"),
        ("tfset\t0\t0\t0\ntfset\t0\t99999\t0\n", "byte 99999: beyond the end of the file"),
        ("tfset\t0\t0\t1\ntfset\t0\t0\t0\n", "byte 0: the index gives the record the labels 1 and 0"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused_when_opened(tmp_path, lines, words):
    index = moved(tmp_path)
    index.write_text(lines)
    with pytest.raises(InputError, match=words):
        DATASETS.create(f"tfrecord:path={index}")


@pytest.mark.parametrize("name", ["tf:1", "a\\b"])
def test_a_set_is_not_written_under_a_name_that_cannot_be_read(tmp_path, name):
    with pytest.raises(InputError, match="is no name of a set"):
        WRITERS.factory("tfrecord")(tmp_path / name)


def test_a_truncated_shard_is_named(tmp_path):
    moved(tmp_path)
    data = DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'}")
    shard = tmp_path / "tfset/tfset-00000.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(InputError, match="now has"):
        data.encoded(0)
    with pytest.raises(InputError, match=r"tfset-00000\.tfrecord: byte \d+: a record of .* reaches beyond"):
        DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'}")
    left = DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'},check=true,unreadable=drop")
    assert len(left) == 5 and left.problems.unreadable.count == 1


def test_checksums_are_compared_on_demand(tmp_path):
    moved(tmp_path)
    shard = tmp_path / "tfset/tfset-00000.tfrecord"
    data = bytearray(shard.read_bytes())
    data[400] ^= 1  # inside the first JPEG
    shard.write_bytes(data)
    assert len(DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'}").encoded(0)) > 500
    with pytest.raises(InputError, match="byte 0: the checksum of the data differs"):
        DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'},crc=true").encoded(0)
    with pytest.raises(InputError, match="unreadable images: 1"):
        DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'},check=true")


def test_a_folder_without_index_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"neither x.index nor x.txt"):
        (tmp_path / "x").mkdir()
        DATASETS.create(f"tfrecord:path={tmp_path / 'x'}")


def test_names_of_classes_give_the_order_of_identities(tmp_path):
    moved(tmp_path)
    (tmp_path / "tfset/classes.txt").write_text("person2\nperson1\nnobody\nperson0\n")
    data = DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'}")
    assert data.labels.tolist() == [2, 2, 1, 1, 1, 0] and data.classes == ["person2", "person1", "person0"]
    (tmp_path / "tfset/classes.txt").write_text("person2\nperson1\n")
    with pytest.raises(InputError, match="'person0' is not among the names"):
        DATASETS.create(f"tfrecord:path={tmp_path / 'tfset'}")


@given(st.lists(st.tuples(st.integers(0, 5500), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 6000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("name", ["tfset.txt", "tfset/tfset.index", "tfset/tfset-00000.tfrecord"])
@pytest.mark.parametrize("crc", ["true", "false"])
def test_any_damage_is_one_sentence_or_none(tmp_path, name, crc, changes, length):
    shutil.rmtree(tmp_path / "tfset", ignore_errors=True)
    index = moved(tmp_path)
    whole = DATASETS.create(f"tfrecord:path={index}")
    images = [whole.encoded(k) for k in range(6)]
    damaged = tmp_path / name
    data = bytearray(damaged.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    damaged.write_bytes(data[:length])
    try:
        found = DATASETS.create(f"tfrecord:path={index if name == index.name else tmp_path / 'tfset'},crc={crc}")
        read = [found.encoded(k) for k in range(len(found))]
        assert crc == "false" or set(read) <= set(images)
    except InputError as error:
        assert "\n" not in str(error)
