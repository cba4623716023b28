"""A dataset or format by one text: a spec string, or a path that is recognised by its content or ending."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

from facezoo.data.crc32c import crc32c, masked
from facezoo.data.dataset import Dataset
from facezoo.data.storage import URL
from facezoo.data.writer import Writer
from facezoo.files import unreadable
from facezoo.registry import DATASETS, WRITERS, Registry
from facezoo.types import InputError

HEAD = 4096
"""Bytes of a file that are looked at."""

MAGIC = {
    "rec": (0, b"\x0a\x23\xd7\xce"),
    "bin": (0, b"\x80"),  # a pickle
    "parquet": (0, b"PAR1"),
    "webdataset": (257, b"ustar"),
    "lmdb": (16, b"\xde\xc0\xef\xbe"),
}
"""By format: where in a file it says what it is, and how."""

CONTENT = {
    "lmdb": ("data.mdb",),
    "rec": ("*.rec",),
    "bin": ("*.bin",),
    "tfrecord": ("*.tfrecord",),
    "webdataset": ("*.tar",),
    "parquet": ("*.parquet", "*.arrow", "*/*.parquet"),
}
"""By format: what lies in a folder of it."""

ONE_FILE = {"rec", "bin"}
"""Formats whose folder is no dataset by itself: the file in it is."""

WRITTEN = {
    ".rec": "rec",
    ".bin": "bin",
    ".txt": "list",
    ".lmdb": "lmdb",
    ".parquet": "parquet",
}
"""What a path ends with that names something to write; without an ending it is a folder of identities."""

REMOTE = {".tar": "webdataset", ".parquet": "parquet"}
"""What a URL or a pattern ends with."""


def open_dataset(text: str) -> Dataset:
    """Open the dataset of a spec string such as `rec:path=train.rec`, or the one at a path or URL.

    A path is recognised by what is there and not by its name: a folder of identities, shards, Parquet files or an LMDB
    database; a list, TFace index, .rec, .bin, .tar, Parquet or LMDB file. A URL or pattern is
    recognised by its ending.

    Raises:
        InputError: neither, nothing there, or nothing that is known.
    """
    if _is_spec(text, DATASETS):
        return DATASETS.create(text)
    path = Path(text)
    if URL.match(text) or (set(text) & set("*{") and not path.exists()):
        return DATASETS.factory(_by_ending(text, REMOTE, "or write name:path=..."))(text)
    if not path.exists():
        raise InputError(f"{text}: no such file or folder, and no spec: write name:key=value with one of {_known()}")
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise InputError(f"{text}: neither a file nor a folder but a pipe or device; write its content into a file")
    return DATASETS.factory(_format_of(path))(path)


def open_writer(text: str) -> Writer:
    """The writer of a spec string such as `tfrecord:path=out`, or the one for a path by its ending.

    Raises:
        InputError: neither.
    """
    if _is_spec(text, WRITERS):
        return WRITERS.create(text)
    if (found := re.match(r"(\w+):\w+=", text)) and not Path(text).exists():
        raise InputError(f"{text}: {found[1]!r} is no format; known: {', '.join(WRITERS.names())}")
    name = _by_ending(text, WRITTEN, "or write format:path=...") if Path(text).suffix else "folder"
    return WRITERS.factory(name)(Path(text))


def _is_spec(text: str, registry: Registry[Any]) -> bool:
    name, colon, _ = text.partition(":")
    return bool(colon) and name.strip() in registry and not Path(text).exists()


def _known() -> str:
    return ", ".join(DATASETS.names())


def _by_ending(text: str, endings: dict[str, str], rule: str) -> str:
    suffix = Path(text).suffix.lower()
    if suffix not in endings:
        raise InputError(f"{text}: {suffix or 'no ending'} names no format; known: {', '.join(endings)}; {rule}")
    return endings[suffix]


def _in_folder(path: Path) -> Dataset:
    found = {name: files for name, globs in CONTENT.items() if (files := [f for g in globs for f in path.glob(g)])}
    if len(found) > 1:
        raise InputError(
            f"{path}: holds data of several formats ({', '.join(found)}); give a file, or name:path={path}"
        )
    if not found:
        if splits := sorted({file.parent.name for file in path.glob("*/*.arrow")}):
            raise InputError(f"{path}: holds several datasets; give one of its folders: {', '.join(splits)}")
        return DATASETS.factory("folder")(path)
    (name, files), *_ = found.items()
    if name not in ONE_FILE:
        return DATASETS.factory(name)(path)
    if len(files) > 1:
        raise InputError(f"{path}: holds {len(files)} .{name} files; give one of them")
    return DATASETS.factory(name)(files[0])


def _format_of(path: Path) -> str:
    """The format of a file, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise unreadable(path, error) from None
    for name, (place, magic) in MAGIC.items():
        if head[place : place + len(magic)] == magic:
            return name
    if len(head) >= 12 and struct.unpack("<I", head[8:12])[0] == masked(crc32c(head[:8])):
        raise InputError(f"{path}: a TFRecord shard has no labels; give its folder or the index file")
    if b"\0" in head:
        raise InputError(f"{path}: its content is of no known format; write name:path={path} with one of {_known()}")
    if path.suffix == ".idx" and path.with_suffix(".rec").is_file():
        raise InputError(f"{path}: is the index of {path.with_suffix('.rec')}; give that")
    return "tfrecord" if _is_index(head) else "list"


def _is_index(head: bytes) -> bool:
    """Whether a text is one of TFace's indices: tabs between a name, two numbers, and a label in those for training."""
    fields = next((line for line in head.split(b"\n") if line.strip()), b"").rstrip(b"\r").split(b"\t")
    return len(fields) in (3, 4, 8) and all(field.isdigit() for field in fields[1:3])
