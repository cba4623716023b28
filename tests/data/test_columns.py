"""Index files by columns: the fast way gives what a line-by-line parser gives, wherever the pieces of the file end."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.data import columns
from facezoo.data.columns import Columns, count_fields
from facezoo.types import InputError

NAMES = st.text("abé/. ", min_size=1, max_size=6)
ROWS = st.lists(st.tuples(NAMES, st.integers(0, 10**18 - 1), NAMES, st.integers(0, 99)), min_size=1, max_size=40)
ENDS = st.sampled_from(["\n", "\r\n", "\n\n"])


@given(ROWS, st.lists(ENDS, min_size=40, max_size=40) | st.just(["\n"] * 40), st.integers(1, 200), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_lines_are_parsed_as_line_by_line(tmp_path, monkeypatch, rows, ends, chunk, last):
    monkeypatch.setattr(columns, "CHUNK", max(chunk, 90))  # longer than any line
    lines = [f"{a}\t{b}\t{c}\t{d}{end}" for (a, b, c, d), end in zip(rows, ends)]
    text = "".join(lines) if last else "".join(lines).rstrip("\r\n")
    (tmp_path / "index").write_bytes(text.encode())
    found = Columns(tmp_path / "index", ("text", "int", "name", "int"))
    starts = np.cumsum([0, *(len(line.encode()) for line in lines)])[:-1]
    assert found.fields[0].tolist() == starts.tolist()
    assert found.fields[1].tolist() == [row[1] for row in rows]
    assert [found.names[code] for code in found.fields[2]] == [row[2] for row in rows]
    assert found.fields[3].tolist() == [row[3] for row in rows]
    assert count_fields(tmp_path / "index") == 4


@pytest.mark.parametrize(
    "bad", ["1\t2", "a\tx\t3", "a\t\t3", "\t1\t3", "a\t1\t3\t4", "a\t-1\t3", "a\t1" + 18 * "0" + "\t3"]
)
def test_the_line_that_does_not_parse_is_named(tmp_path, bad):
    (tmp_path / "index").write_text("a\t1\t2\n\n" + bad + "\nb\t1\t2\n")
    with pytest.raises(InputError, match=r"index:3: .* is not TEXT TAB NUMBER TAB NUMBER"):
        Columns(tmp_path / "index", ("text", "int", "int"))


def test_names_are_few_and_lines_short(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "MAX_NAMES", 3)
    monkeypatch.setattr(columns, "CHUNK", 1000)
    (tmp_path / "index").write_text("".join(f"{k}\t1\n" for k in range(4)))
    with pytest.raises(InputError, match="more than 3 different names"):
        Columns(tmp_path / "index", ("name", "int"))
    (tmp_path / "index").write_text("x" * 3000)
    with pytest.raises(InputError, match="a line of more than 1,000 bytes"):
        Columns(tmp_path / "index", ("name", "int"))
