import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from facezoo.files import read_toml, whole_file, write_bytes, write_text
from facezoo.types import InputError


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_appears_whole_with_its_folder(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "grüezi")

    assert path.read_text(encoding="utf-8") == "grüezi"
    assert names(path.parent) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_bytes(b"half of the new")
        raise RuntimeError("interrupted")

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: is a folder; name a file to write"):
        write_text(tmp_path / "out", "")
    assert names(tmp_path) == ["out"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_where_nothing_may_be_written_the_file_is_named_not_the_temporary_one(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "locked" / "a.txt", "")
    assert caught.value.filename == str(tmp_path / "locked" / "a.txt")


def test_the_temporary_name_keeps_the_ending(tmp_path):
    with whole_file(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_the_file_has_the_mode_of_any_new_file(tmp_path):
    write_bytes(tmp_path / "a.bin", b"x")
    (tmp_path / "b.bin").write_bytes(b"x")

    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "b.bin").stat().st_mode


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_threads_that_write_leave_the_umask_alone(tmp_path):
    before = os.umask(0o027)
    asked: list[int] = []
    original = os.umask
    try:
        with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
            patch.setattr(os, "umask", lambda mask: asked.append(mask) or original(mask))
            list(pool.map(lambda number: write_bytes(tmp_path / f"{number}.bin", b"x"), range(8)))
        assert asked == []  # a second thread that asks meanwhile would keep 0 for good
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    finally:
        original(before)


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path):
    path = tmp_path / f"{'n' * 240}.txt"
    write_text(path, "x")

    assert names(tmp_path) == [path.name]


KILLED = """
import os, pathlib, signal, sys
from facezoo.files import whole_file
with whole_file(pathlib.Path(sys.argv[1]) / "a.bin") as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left_in(folder: Path) -> Path:
    """The temporary file of a process that was killed while it wrote `a.bin`."""
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder)]).returncode == -9
    (left,) = folder.iterdir()
    return left


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_what_a_killed_process_left_goes_a_day_later(tmp_path):
    one, other = left_in(tmp_path / "one"), left_in(tmp_path / "other")
    (tmp_path / "one" / ".mine").write_bytes(b"x")
    for path in (one, tmp_path / "one" / ".mine"):
        os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)

    write_bytes(tmp_path / "one" / "a.bin", b"x")
    write_bytes(tmp_path / "other" / "a.bin", b"x")

    assert sorted(names(tmp_path / "one")) == [".mine", "a.bin"]
    assert sorted(names(tmp_path / "other")) == sorted([other.name, "a.bin"])  # its writer may be at work still


def test_what_is_no_toml_file_is_one_sentence(tmp_path):
    for name, data, why in (
        ("none.toml", None, "none.toml: no such file"),
        ("a.toml", b"x = ", "a.toml: not valid TOML: "),
        ("b.toml", b"x = '\xff'", "b.toml: not valid TOML: "),
        ("", None, "is a folder; name a TOML file"),
    ):
        if data is not None:
            write_bytes(tmp_path / name, data)
        with pytest.raises(InputError, match=why) as caught:
            read_toml(tmp_path / name)
        assert "\n" not in str(caught.value)
