"""A disk that takes no more is told with the file that was written, whichever library wrote it."""

from __future__ import annotations

import errno

import pytest
import torch

from facezoo.checkpoint import save_tensors
from facezoo.config import config_from_dict
from facezoo.files import unreadable, write_text
from facezoo.run import RunFolder

resource = pytest.importorskip("resource", reason="POSIX")

ROOM = 4096


@pytest.fixture
def little_room():
    """No file may become larger than so many bytes: the system refuses the write, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def state(path):
    folder = RunFolder(path.parent, config_from_dict({"data": {"train": "none"}}))
    folder.state_file = path
    folder.save_state({"step": 1, "weights": torch.zeros(ROOM)}, {})


WRITERS = {
    "text": lambda path: write_text(path, "x" * 2 * ROOM),
    "tensors": lambda path: save_tensors(path, {"weights": torch.zeros(ROOM)}, {"key": "value"}),
    "state": state,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_file_is_named_and_what_stood_there_stays(tmp_path, little_room, kind):
    path = tmp_path / "state" / "file"
    path.parent.mkdir()
    path.write_text("before")
    with pytest.raises(OSError, match="File too large") as caught:
        WRITERS[kind](path)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert not [found for found in path.parent.iterdir() if found.name.startswith(".facezoo")]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "a: no such file"),
        (errno.EISDIR, "a: is a folder; name a file"),
        (errno.EACCES, "a: you have no right to it; ask its owner, or name another place"),
        (errno.ENOSPC, "a: the disk is full; make room, or name another place"),
        (errno.EIO, "a: cannot be read or written: I/O; see whether its disk is there and sound"),
    ],
)
def test_what_the_system_says_is_said_with_what_to_do(number, words):
    assert str(unreadable("a", OSError(number, "I/O"))) == words
