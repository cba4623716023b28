"""Pair lists: every grammar, and the sentence for every line that is in none."""

import gzip
import json

import numpy as np
import pytest

from facezoo.data.pairs import read_pairs
from facezoo.evaluation.folds import stratified_folds
from facezoo.evaluation.pairs import read_lfw_pairs
from facezoo.types import InputError

LFW = "1\t2\nAda\t1\t12\nAda\t2\tBo\t1\nBo\t1\t3\nBo\t2\tCy\t10000\n"
LFW_PHOTOS = [
    ("Ada/Ada_0001.jpg", "Ada/Ada_0012.jpg", True),
    ("Ada/Ada_0002.jpg", "Bo/Bo_0001.jpg", False),
    ("Bo/Bo_0001.jpg", "Bo/Bo_0003.jpg", True),
    ("Bo/Bo_0002.jpg", "Cy/Cy_10000.jpg", False),
]


def written(tmp_path, text):
    path = tmp_path / "pairs.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def listed(pairs):
    return list(zip(pairs.left, pairs.right, pairs.same.tolist()))


@pytest.mark.parametrize(
    "text",
    [
        LFW,
        LFW.replace("\n", "\r\n"),
        LFW.replace("\n", "\n\n"),
        LFW.replace("\t", " "),
        LFW.replace("\n", "\t\n"),
        "\ufeff" + LFW,
        LFW.rstrip("\n"),
    ],
    ids=["as is", "CRLF", "blank lines", "blanks", "trailing tabs", "byte order mark", "no last newline"],
)
def test_an_lfw_list_is_read_however_it_was_saved(tmp_path, text):
    pairs = read_lfw_pairs(written(tmp_path, text))
    assert listed(pairs) == LFW_PHOTOS
    assert (pairs.folds, pairs.announced) == (1, 4)


def test_a_list_without_a_header_announces_nothing(tmp_path):
    pairs = read_lfw_pairs(written(tmp_path, LFW.partition("\n")[2]))
    assert listed(pairs) == LFW_PHOTOS
    assert (pairs.folds, pairs.announced) == (None, None)


def test_a_photo_of_many_pairs_is_one_photo(tmp_path):
    names, left, right = read_lfw_pairs(written(tmp_path, LFW)).photos()
    assert len(names) == len(set(names)) == 7
    assert [(names[a], names[b]) for a, b in zip(left, right)] == [pair[:2] for pair in LFW_PHOTOS]


@pytest.mark.parametrize("label", ["1", "7"])
def test_left_right_label(tmp_path, label):
    pairs = read_pairs(written(tmp_path, f"a/1.jpg b/2.png {label}\n\na/1.jpg c.jpg 0\nd.jpg c.jpg -1\n"))
    assert listed(pairs) == [
        ("a/1.jpg", "b/2.png", True),
        ("a/1.jpg", "c.jpg", False),
        ("d.jpg", "c.jpg", False),
    ]


def test_names_with_blanks_are_parted_by_tabs(tmp_path):
    pairs = read_pairs(written(tmp_path, "a b.jpg\tc d.jpg\t1\n"))
    assert listed(pairs) == [("a b.jpg", "c d.jpg", True)]


def test_two_lines_a_pair(tmp_path):
    pairs = read_pairs(written(tmp_path, "a.jpg 3\nb.jpg 3\nc.jpg 0\nd.jpg 0\n"))
    assert listed(pairs) == [("a.jpg", "b.jpg", True), ("c.jpg", "d.jpg", False)]


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (read_lfw_pairs, "", "there are no pairs"),
        (read_lfw_pairs, "10\t300\n", "there are no pairs"),
        (read_lfw_pairs, "Ada\t1\t2\nBo\n", "line 2: 3 or 4 fields"),
        (read_lfw_pairs, "Ada\t1\tx\n", "line 1: 'x' is not the number"),
        (read_lfw_pairs, "..\t1\t2\n", "leaves the folder"),
        (read_lfw_pairs, "/etc\t1\t2\n", "leaves the folder"),
        (read_lfw_pairs, b"\xff\xfe\x00", "UTF-8"),
        (read_pairs, "a b c d\n", "'left right label'"),
        (read_pairs, "a b 1\nc d\n", "line 2: 2 fields"),
        (read_pairs, "a b same\n", "'same' is not a whole number"),
        (read_pairs, "a 1\nb 1\nc 1\n", "a pair takes two lines"),
        (read_pairs, "../a b 1\n", "leaves the folder"),
        (read_pairs, "C:/a b 1\n", "leaves the folder"),
        (read_pairs, "a\\..\\..\\b c 1\n", "leaves the folder"),
    ],
)
def test_what_is_no_pair_is_named(tmp_path, read, text, words):
    with pytest.raises(InputError, match=words):
        read(written(tmp_path, text))


@pytest.mark.parametrize("read", [read_lfw_pairs, read_pairs])
def test_a_missing_list_is_named(tmp_path, read):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "pairs.txt")


@pytest.fixture(scope="module")
def expected(golden_root):
    with gzip.open(golden_root / "evaluation/pairs/expected.json.gz") as file:
        return json.load(file)["parsed"]


@pytest.mark.golden
@pytest.mark.parametrize("name", ["lfw", "rfw", "lfw_blank_line"])
def test_lfw_lists_are_read_as_facex_zoo_reads_them(golden_root, expected, name):
    pairs = read_lfw_pairs(golden_root / "evaluation/pairs" / expected[name]["file"])

    found = [[left, right, int(same)] for left, right, same in listed(pairs)]

    if name == "lfw_blank_line":  # where the reference stops, we read on
        assert len(found) > expected[name]["n"]
        found = found[: expected[name]["n"]]
    assert found == expected[name]["pairs"]


@pytest.mark.golden
@pytest.mark.parametrize("name", ["cplfw", "calfw"])
def test_two_line_lists_fall_into_the_folds_of_facex_zoo(golden_root, expected, tmp_path, name):
    packed = golden_root / "evaluation/pairs" / expected[name]["file"]
    pairs = read_pairs(written(tmp_path, gzip.decompress(packed.read_bytes())))

    order = np.argsort(stratified_folds(pairs.same, 10), kind="stable")
    found = listed(pairs)

    wanted = [tuple(pair) for pair in expected[name]["pairs"]]
    for k in range(10):
        fold = slice(600 * k, 600 * (k + 1))
        assert sorted(found[i] for i in order[fold]) == sorted(wanted[fold])


def test_a_name_that_is_the_folder_itself_is_refused(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(". a.jpg 1\n")
    with pytest.raises(InputError, match="line 1"):
        read_pairs(path)
