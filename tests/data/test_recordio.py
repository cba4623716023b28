"""MXNet's RecordIO: the bytes of mxnet both ways, both layouts of insightface, and everything that can be wrong."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.data.mapped import MappedFile, keep, stamps
from facezoo.data.recordio import MAGIC, frame, image_of, image_record, read_heads, read_record, scan
from facezoo.image import encode_jpeg
from facezoo.registry import DATASETS
from facezoo.types import InputError

FILES = Path(__file__).parent / "files"

GOLDEN = bytes.fromhex(  # written by mxnet 1.9.1
    "0a23d7ce200000000200000000000000000000000000000000000000000000000000404000008040"
    "0a23d7ce1d000000000000000000e04001000000000000000000000000000000ffd8414141000000"
    "0a23d7ce1c000020000000000000e04002000000000000000000000000000000616263640a23d7ce"
    "0400004078797a210a23d7ce000000400a23d7ce03000060656e64000a23d7ce2000000002000000"
    "00000000030000000000000000000000000000000000803f00004040"
)
RECORDS = [
    image_record((3.0, 4.0), 0, b""),
    image_record(7.0, 1, b"\xff\xd8AAA"),
    image_record(7.0, 2, b"abcd" + MAGIC + b"xyz!" + MAGIC + MAGIC + b"end"),
    image_record((1.0, 3.0), 3, b""),
]
OFFSETS = [0, 40, 80, 148]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path / "cache"))


def saved(tmp_path, data, name="toy.rec"):
    (tmp_path / name).write_bytes(data)
    return MappedFile(tmp_path / name)


def test_the_golden_bytes_of_mxnet_are_written():
    assert b"".join(map(frame, RECORDS)) == GOLDEN


def test_the_golden_bytes_of_mxnet_are_read(tmp_path):
    file = saved(tmp_path, GOLDEN)
    assert scan(file).tolist() == OFFSETS
    assert [read_record(file, offset)[0] for offset in OFFSETS] == RECORDS
    heads = read_heads(file, np.array(OFFSETS))
    assert heads.first.tolist() == [3, 7, 7, 1] and heads.second.tolist() == [4, 0, 0, 3]
    assert heads.empty.tolist() == [True, False, False, True]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("after", range(5))
def test_data_that_hold_the_magic_anywhere_come_back(tmp_path, before, count, after):
    data = image_record(1.0, 9, b"x" * before + MAGIC * count + b"y" * after)
    file = saved(tmp_path, frame(data) + frame(b"next"))
    read, end = read_record(file, 0)
    assert read == data and end % 4 == 0
    assert read_record(file, end)[0] == b"next"
    assert scan(file).tolist() == [0, end]


@given(st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=9)), max_size=8).map(b"".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_data_come_back(tmp_path, data):
    file = saved(tmp_path, frame(data) + frame(b""))
    read, end = read_record(file, 0)
    assert read == data
    assert read_record(file, end) == (b"", file.size)


def test_a_header_cut_by_a_magic_of_its_own_is_read(tmp_path):
    key = int.from_bytes(MAGIC, "little")
    file = saved(tmp_path, frame(image_record(5.0, key, b"image")))
    assert read_heads(file, np.array([0])).first.tolist() == [5]


def test_labels_may_be_arrays_and_take_no_part_in_the_image():
    assert image_of(image_record((4.0, 0.5, 1.5), 1, b"image")) == b"image"
    assert image_of(image_record(4.0, 1, b"image")) == b"image"
    assert image_of(b"short") is None
    assert image_of(image_record((1.0, 2.0), 1, b"")[:28]) is None


def copied(tmp_path, name, without=()):
    for file in (FILES / "recordio").glob(f"{name}.*"):
        if file.suffix not in without:
            shutil.copy(file, tmp_path)
    return tmp_path / f"{name}.rec"


@pytest.mark.parametrize("without", [(), (".idx",)])
@pytest.mark.parametrize("name", ["identities", "sequential"])
def test_files_of_mxnet_are_read_with_and_without_index(tmp_path, name, without):
    path = copied(tmp_path, name, without)
    for _ in range(2):  # the second time from what was kept
        data = DATASETS.create(f"rec:path={path},check=true")
        assert data.labels.tolist() == [0, 0, 1, 1, 1, 2] and data.classes == ["0", "1", "2"] and not data.problems
        assert data.read(5).shape == (24, 24, 3)
        assert data.encoded(0)[:2] == b"\xff\xd8"
    if name == "sequential":
        assert data.encoded(3).endswith(MAGIC * 2 + b"end")


def test_labels_come_from_the_images_where_identity_records_do_not_say_them(tmp_path):
    (tmp_path / "golden.rec").write_bytes(GOLDEN)
    (tmp_path / "golden.idx").write_text("0\t0\n1\t40\n2\t80\n3\t148\n")
    data = DATASETS.create(f"rec:path={tmp_path / 'golden.rec'}")
    assert data.labels.tolist() == [0, 0] and data.classes == ["7"]
    assert data.problems.gaps.count == 7
    assert data.encoded(0) == b"\xff\xd8AAA"


@pytest.mark.parametrize("order", [list(range(8)), [7, 0, 4, 1, 5, 2, 6, 3]])
def test_a_set_comes_back_whole(tmp_path, people, write, same, order):
    people.labels, people._names = people.labels[order], people._names.take(np.array(order))
    files = write(f"rec:path={tmp_path / 'out/train.rec'}", people)
    assert sorted(file.name for file in files) == ["property", "train.classes.txt", "train.idx", "train.rec"]
    assert (tmp_path / "out/property").read_text() == "3,24,24"
    for _ in range(2):
        data = DATASETS.create(f"rec:path={files[0]},check=true")
        assert same(data, people)
    (tmp_path / "out/train.idx").unlink()
    assert same(DATASETS.create(f"rec:path={files[0]}"), people)
    again = [file.read_bytes() for file in write(f"rec:path={tmp_path / 'again/train.rec'}", people, size=5)]
    assert again[0] == files[0].read_bytes()


def test_images_in_order_get_identity_records(tmp_path, people, write):
    file = MappedFile(write(f"rec:path={tmp_path / 'train.rec'}", people)[0])
    heads = read_heads(file, scan(file))
    assert heads.empty.tolist() == [True] + [False] * 8 + [True] * 3
    assert (heads.first[0], heads.second[0]) == (9, 12)
    assert list(zip(heads.first[9:], heads.second[9:])) == [(1, 5), (5, 8), (8, 9)]


def test_a_set_can_be_handed_to_another_process(tmp_path):
    data = DATASETS.create(f"rec:path={copied(tmp_path, 'identities')}")
    first = data.encoded(0)
    assert len(pickle.dumps(data)) < 2000
    assert pickle.loads(pickle.dumps(data)).encoded(0) == first  # noqa: S301 - our own


def test_what_was_kept_goes_to_the_cache_where_the_folder_cannot_be_written(tmp_path, monkeypatch):
    path = copied(tmp_path, "sequential")
    (tmp_path / "sequential.rec.index").mkdir()  # takes the place of the file
    DATASETS.create(f"rec:path={path}")
    assert len(list((tmp_path / "cache/indices").iterdir())) == 1
    monkeypatch.setattr("facezoo.data.rec_dataset.read_heads", None)  # nothing is read again
    assert len(DATASETS.create(f"rec:path={path}")) == 6


def test_what_was_kept_of_another_state_or_damaged_is_made_anew(tmp_path):
    path = copied(tmp_path, "sequential")
    assert len(DATASETS.create(f"rec:path={path}")) == 6
    kept = tmp_path / "sequential.rec.index"
    kept.write_bytes(kept.read_bytes()[:-20])
    assert len(DATASETS.create(f"rec:path={path}")) == 6
    for strange in (np.zeros((3, 6), np.int64), np.zeros(6), np.zeros((2, 0), np.int64)):
        keep(path, stamps([path, path.with_suffix(".idx")]), strange)
        assert len(DATASETS.create(f"rec:path={path}")) == 6
    stamp, array = kept.read_bytes()[:160], kept.read_bytes()[160:]
    kept.write_bytes(stamp + array.replace(b"(2, 6)", b"(2, 99999999999999)"))  # more than any memory
    assert len(DATASETS.create(f"rec:path={path}")) == 6
    lines = path.with_suffix(".idx").read_text().splitlines()[:4]
    path.with_suffix(".idx").write_text("\n".join(lines))
    assert len(DATASETS.create(f"rec:path={path}")) == 4


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("0\t0\n1\t44\n2\t80\n3\t148\n", "byte 44: no record starts here"),
        ("0\t0\n1\t116\n2\t80\n3\t148\n", "byte 116: no record starts here but a later part"),
        ("0\t0\n1\t42\n2\t80\n3\t148\n", "byte 42: no record"),
        ("0\t0\n1\t40\n2\t80\n3\t1480\n", r"byte 1480: beyond the end of the file \(188 bytes\)"),
        ("0\t0\n1\t40\n1\t80\n3\t148\n", r"golden.idx: the key 1 comes twice"),
        ("0\t0\n2\t80\n3\t148\n", "announces images 1 to 2, the index has 1"),
        ("0\t0\n1\tx\n", r"golden.idx:2: b'1\\tx' is not NUMBER TAB NUMBER"),
        ("0\t0\n1\t40\t9\n", "golden.idx:2"),
        ("\n\n", "there is no entry"),
        ("", "there is no entry"),
    ],
)
def test_a_wrong_index_is_named(tmp_path, index, words):
    (tmp_path / "golden.rec").write_bytes(GOLDEN)
    (tmp_path / "golden.idx").write_text(index)
    with pytest.raises(InputError, match=words):
        DATASETS.create(f"rec:path={tmp_path / 'golden.rec'}")


def test_an_index_with_crlf_blank_lines_and_any_order_is_read(tmp_path):
    path = copied(tmp_path, "sequential")
    lines = path.with_suffix(".idx").read_text().splitlines()
    path.with_suffix(".idx").write_bytes("\r\n".join([*lines[::-1], "", ""]).encode())
    assert DATASETS.create(f"rec:path={path}").labels.tolist() == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("without", [(), (".idx",)])
def test_a_truncated_file_is_named_with_the_byte(tmp_path, without):
    path = copied(tmp_path, "sequential", without)
    last = scan(MappedFile(path))[-1]
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=rf"sequential.rec: byte {last}: .* beyond the end of the file .*truncated"):
        DATASETS.create(f"rec:path={path}")


def test_damaged_records_are_dropped_on_wish(tmp_path):
    for name in ("sequential", "identities"):
        path = copied(tmp_path, name)
        offsets = scan(MappedFile(path))
        data = bytearray(path.read_bytes())
        data[offsets[2]] ^= 1
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"byte {offsets[2]}: no record starts here|unreadable images: 1"):
            DATASETS.create(f"rec:path={path},check=true")
        left = DATASETS.create(f"rec:path={path},check=true,unreadable=drop")
        assert left.problems.unreadable.count == 1 and len(left) == 5


def test_labels_are_those_of_the_images_whatever_identity_records_say(tmp_path):
    image = encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    labels = [0, 1, 0, 0]  # the second of four images of one person
    records = [image_record((5.0, 6.0), 0, b"")]
    records += [image_record(float(label), key, image) for key, label in enumerate(labels, 1)]
    records += [image_record((1.0, 5.0), 5, b"")]
    frames = [frame(record) for record in records]
    offsets = np.cumsum([0, *map(len, frames)])
    (tmp_path / "x.rec").write_bytes(b"".join(frames))
    (tmp_path / "x.idx").write_text("".join(f"{k}\t{offsets[k]}\n" for k in range(6)))
    for _ in range(2):  # the second time from what was kept
        assert DATASETS.create(f"rec:path={tmp_path / 'x.rec'}").labels.tolist() == labels


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf")])
def test_labels_that_are_no_whole_numbers_are_named(tmp_path, label):
    (tmp_path / "x.rec").write_bytes(frame(image_record(0.0, 0, b"x")) + frame(image_record(label, 1, b"x" * 9)))
    with pytest.raises(InputError, match=r"byte 36: the label is .*, not a whole number from 0"):
        DATASETS.create(f"rec:path={tmp_path / 'x.rec'}")


@pytest.mark.parametrize(
    ("text", "words"),
    [("2,24,24", "2 classes, but an image has the label 2"), ("x,24,24", "was expected"), ("3", "was expected")],
)
def test_a_property_file_that_contradicts_is_refused(tmp_path, text, words):
    path = copied(tmp_path, "identities")
    (tmp_path / "property").write_text(text)
    with pytest.raises(InputError, match=words):
        DATASETS.create(f"rec:path={path}")


def test_classes_that_only_the_property_file_knows_are_gaps(tmp_path):
    path = copied(tmp_path, "identities")
    (tmp_path / "property").write_text("5,24,24")
    problems = DATASETS.create(f"rec:path={path}").problems
    assert problems.gaps.count == 2 and problems.gaps.first == ("3", "4")


@pytest.mark.parametrize("announced", [6.0, 7.0, 8.0])
def test_numbers_beyond_float32_are_not_trusted(tmp_path, monkeypatch, announced):
    monkeypatch.setattr("facezoo.data.rec_dataset.EXACT", 4)
    path = copied(tmp_path, "identities")
    data = bytearray(path.read_bytes())
    data[32:36] = np.float32(announced).tobytes()  # 7, rounded
    path.write_bytes(data)
    assert DATASETS.create(f"rec:path={path}").labels.tolist() == [0, 0, 1, 1, 1, 2]


def test_a_set_too_large_for_record_0_is_written_without_it(tmp_path, people, write, same, monkeypatch):
    monkeypatch.setattr("facezoo.data.rec_dataset.EXACT", 8)
    path = write(f"rec:path={tmp_path / 'train.rec'}", people)[0]
    assert read_heads(MappedFile(path), scan(MappedFile(path))).empty.tolist() == [False] * 8
    assert same(DATASETS.create(f"rec:path={path}"), people)


def test_names_of_classes_are_taken_and_must_suffice(tmp_path):
    path = copied(tmp_path, "identities")
    (tmp_path / "classes.txt").write_text("Ann\nBob\nCy\n", encoding="utf-8")
    assert DATASETS.create(f"rec:path={path}").classes == ["Ann", "Bob", "Cy"]
    for text, words in (("Ann\nBob\n", "2 names, .* 3 labels"), ("Ann\n\nCy\n", ":2: ''"), ("A\nA\nB\n", "on line 1")):
        (tmp_path / "classes.txt").write_text(text)
        with pytest.raises(InputError, match=words):
            DATASETS.create(f"rec:path={path}")


def test_missing_and_empty_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        DATASETS.create(f"rec:path={tmp_path / 'no.rec'}")
    for size, words in ((0, "is empty"), (5, "beyond the end"), (8, "no record starts here")):
        (tmp_path / "x.rec").write_bytes(bytes(size))
        with pytest.raises(InputError, match=words):
            DATASETS.create(f"rec:path={tmp_path / 'x.rec'}")


@given(st.lists(st.tuples(st.integers(0, 5500), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 6000))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("name", ["identities", "sequential"])
@pytest.mark.parametrize("ending", [".rec", ".idx"])
def test_any_damage_is_one_sentence_or_none(tmp_path, name, ending, changes, length):
    path = copied(tmp_path, name)
    damaged = path.with_suffix(ending)
    data = bytearray(damaged.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    damaged.write_bytes(data[:length])
    try:
        found = DATASETS.create(f"rec:path={path}")
        images = [found.encoded(k) for k in range(len(found))]
        assert 0 < sum(map(len, images)) <= 6 * 6000
    except InputError as error:
        assert "\n" not in str(error)
