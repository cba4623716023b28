"""Lists are read in blocks, fast where every line is plain, and as if they were read line by line."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from facezoo.data import list_lines
from facezoo.data.list_lines import read_lines
from facezoo.registry import DATASETS
from facezoo.types import InputError


def found(path):
    try:
        names, labels, blank = read_lines(path, path.parent)
    except InputError as error:
        return str(error)
    return list(names), labels.tolist(), blank


PATHS = st.sampled_from(
    ["a/1.jpg", "a b/2.jpg", "é/東.png", "x", "a/../b.jpg", "../up.jpg", "/root.jpg", "c:x", "0", ""]
)
BLANKS = st.sampled_from([" ", "\t", "  ", " \t", "\x0b", "\xa0", ""])
LABELS = st.sampled_from(["0", "7", "007", "12345678901234567", "1234567890123456789", "x", "-1", "1.0", "²", ""])
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n", " \n", ""])
LINES = st.lists(st.tuples(BLANKS, PATHS, BLANKS, LABELS, ENDS).map("".join), max_size=8).map("".join)
PLAIN = st.lists(
    st.tuples(PATHS.filter(lambda p: p[:1] not in ("", "/", ".")), st.integers(0, 10**17)).map(
        lambda p: f"{p[0]} {p[1]}\n"
    )
).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(LINES, PLAIN), size=st.integers(1, 64))
def test_a_block_is_read_as_its_lines_are(text, size, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(text.encode())
    whole = found(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(list_lines, "BLOCK_BYTES", size)
        in_blocks = found(path)
        patched.setattr(list_lines, "_read_block", lambda block: None)
        by_line = found(path)

    assert whole == in_blocks == by_line


def test_plain_lines_are_read_as_a_block(tmp_path, monkeypatch):
    def by_line(*arguments):
        raise AssertionError("read line by line")

    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffa b/1.jpg\t3\r\né/東.jpg 12\r\nc 0".encode())
    monkeypatch.setattr(list_lines, "_read_line_by_line", by_line)

    assert found(path)[:2] == (["a b/1.jpg", "é/東.jpg", "c"], [3, 12, 0])


def test_an_error_names_the_line_in_any_block(tmp_path, monkeypatch):
    path = tmp_path / "list.txt"
    path.write_bytes(b"".join(b"image%d.jpg %d\n" % (i, i) for i in range(500)) + b"image.jpg no\n")
    monkeypatch.setattr(list_lines, "BLOCK_BYTES", 100)

    assert "list.txt:501: 'image.jpg no' is not `path label`" in found(path)
    path.write_bytes(path.read_bytes()[:-4] + b"\xff 1\n")
    assert "list.txt:501: not UTF-8" in found(path)
    path.write_bytes(path.read_bytes()[:-4] + b"\0 1\n")
    assert "list.txt:501: holds a zero byte" in found(path)


def test_a_file_without_line_ends_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"x" * 10_000_000)
    assert "list.txt:1: longer than 65,535 bytes; it is not a list" in found(tmp_path / "list.txt")


def test_files_that_were_not_looked_for_are_missed_when_they_are_read(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg 0\nb.jpg 0\n")
    with pytest.raises(InputError, match="2 of 2 listed files"):
        DATASETS.create(f"list:path={tmp_path / 'list.txt'}")
    data = DATASETS.create(f"list:path={tmp_path / 'list.txt'},missing=unchecked")

    assert np.array_equal(data.labels, [0, 0])
    with pytest.raises(InputError, match=r"b\.jpg: no such file"):
        data.read(1)
