"""A disk that takes no more is told with the file that was written, whichever library wrote it."""

from __future__ import annotations

import errno
import json
import os

import pytest
import torch

from facezoo.checkpoint import save_tensors
from facezoo.config import config_from_dict
from facezoo.files import unreadable, write_text
from facezoo.run import RunFolder

resource = pytest.importorskip("resource", reason="POSIX")

ROOM = 4096


def told_with_little_room(write, path):
    """errno, file name and words of the error where no file may become larger than `ROOM`, as on a full disk.

    In a child: the limit holds for all that a process writes, also for pytest's output where that goes to a file.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
        told = None
        try:
            write(path)
        except OSError as error:
            told = [error.errno, error.filename, str(error)]
        finally:
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = json.loads(pipe.read())
    os.waitpid(child, 0)
    return told


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
def test_the_file_is_named_and_what_stood_there_stays(tmp_path, kind):
    path = tmp_path / "state" / "file"
    path.parent.mkdir()
    path.write_text("before")
    number, name, words = told_with_little_room(WRITERS[kind], path)
    assert (number, name) == (errno.EFBIG, str(path)) and "File too large" in words
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
