"""Where the samples of tar shards lie: made once by walking through the tars' headers, then kept beside them."""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.mapped import keep, load_tables, read_tables
from facezoo.data.storage import Storage
from facezoo.data.tar_index import BLOCK, Member, members
from facezoo.image import MAX_BYTES, SUFFIXES
from facezoo.types import InputError
from facezoo.zoo.cache import cache_dir, lock

SHARD_LIST = "datasets_webdataset.json"
MAX_LABEL = 2**31 - 1
MAX_LABEL_BYTES = 1 << 20

MAX_BLOCKS = 2**32 - 1
MAX_HEAD = 2**16 - 1
"""Blocks of headers before an image."""

NESTED, TWICE = 1, 2


class Index(NamedTuple):
    """Where samples (N,) lie, in arrays as small as can be.

    Attributes:
        blocks: where the image begins, in blocks of 512 bytes from the start of its shard.
        sizes: bytes of the image.
        labels, shards: their numbers.
        heads: blocks of headers right before the image.
        flags: NESTED, the key names a folder; TWICE, another sample of the label has the key.
    """

    blocks: NDArray[np.uint32]
    sizes: NDArray[np.int32]
    labels: NDArray[np.int32]
    shards: NDArray[np.int32]
    heads: NDArray[np.uint16]
    flags: NDArray[np.uint8]


DTYPES = ("<u4", "<i4", "<i4", "<i4", "<u2", "|u1")


class _Sample(NamedTuple):
    key: str
    image: Member
    label: int


def index_of(storage: Storage, label: str) -> Index:
    """The samples of all shards, in order; walks through them where no index of their present state is there.

    Args:
        storage: the shards.
        label: the key of the label in `.json` members.

    Raises:
        InputError: a shard is damaged, a sample incomplete, its label no whole number, or a key comes twice in a shard.
    """
    source = _kept_under(storage, label)
    found = _stored(storage, source)
    if found is None:
        with lock(source.absolute()):  # of several processes one walks
            found = _stored(storage, source)
            if found is None:
                found = (_fetched(storage, label) if storage.remote else None) or _walk(storage, label)
                keep(source, _stamp(storage), *found)
    return found


def ship_index(storage: Storage, label: str) -> Path:
    """Make the index and store it beside the shards, for them and for their copies behind a URL; gives its file."""
    source = _kept_under(storage, label)
    keep(source, _stamp(storage), *_walk(storage, label))
    return _index_file(source)


def _stored(storage: Storage, source: Path) -> Index | None:
    """The index on this machine, made for this state of the shards."""
    return _usable(load_tables(source, _stamp(storage), len(DTYPES)), storage)


def _fetched(storage: Storage, label: str) -> Index | None:
    """The index that lies beside shards behind a URL, if their sizes are those it was made for."""
    data = storage.beside(f"{_name(storage, label)}.index")
    sizes = _stamp(storage)[:-1]  # versions here are others than where it was made
    return None if data is None else _usable(read_tables(io.BytesIO(data), sizes, len(DTYPES)), storage)


def _kept_under(storage: Storage, label: str) -> Path:
    """The path beside which the index of these shards is kept."""
    if not storage.remote:
        return Path(storage.folder or ".") / _name(storage, label)
    digest = sha256("\n".join(file.path for file in storage.files).encode()).hexdigest()[:16]
    return cache_dir() / "indices" / f"{_name(storage, label)}.{digest}"


def _stamp(storage: Storage) -> list[int]:
    """Sizes of the shards, and a number that stands for their versions."""
    versions = sha256("\n".join(file.version for file in storage.files).encode()).digest()
    return [*(file.size for file in storage.files), int.from_bytes(versions[:7], "little")]


def _index_file(source: Path) -> Path:
    """Where `keep` stores what belongs to a path, if it may."""
    return source.with_name(f"{source.name}.index")


def _name(storage: Storage, label: str) -> str:
    names = "\n".join([label, *(file.name for file in storage.files)])
    return f"webdataset-{sha256(names.encode()).hexdigest()[:8]}"


def _usable(tables: list[NDArray[Any]] | None, storage: Storage) -> Index | None:
    """The index, if every sample of it lies inside its shard."""
    if tables is None or any(table.dtype != dtype for table, dtype in zip(tables, DTYPES)):
        return None
    found = Index(*tables)
    if not found.labels.size or any(table.shape != (len(found.labels),) for table in tables):
        return None
    ends = np.array([file.size for file in storage.files], np.int64)
    for low in range(0, len(found.labels), 1 << 18):
        part = Index(*(table[low : low + (1 << 18)] for table in tables))
        if part.shards.min() < 0 or part.shards.max() >= len(ends) or (np.diff(part.shards) < 0).any():
            return None
        if min(part.labels.min(), part.sizes.min()) < 0 or (part.blocks < part.heads).any():
            return None
        if (part.blocks * np.int64(BLOCK) + part.sizes > ends[part.shards]).any():
            return None
    return found


def _walk(storage: Storage, label: str) -> Index:
    counts = _counts(storage)
    columns = [array(code) for code in "IiiiHBq"]
    for number, file in enumerate(progress.track(storage.files, "index of the shards", "shards")):
        before = len(columns[0])
        with storage.open(number) as stream:
            for sample in _samples(stream, file.size, file.path, label):
                block, head = sample.image.offset // BLOCK, (sample.image.offset - sample.image.start) // BLOCK
                if block > MAX_BLOCKS or head > MAX_HEAD:
                    raise InputError(
                        f"{file.path}: byte {sample.image.start}: too far into the shard, or too many headers; write "
                        "smaller shards"
                    )
                nested, hashed = NESTED if "/" in sample.key else 0, _hash(sample.label, sample.key)
                row = (block, sample.image.size, sample.label, number, head, nested, hashed)
                for column, value in zip(columns, row):
                    column.append(value)
        found = len(columns[0]) - before
        if counts.get(file.name, found) != found:
            raise InputError(f"{file.path}: {found:,} samples, {SHARD_LIST} lists {counts[file.name]:,}; repair it")
    if not columns[0]:
        raise InputError(f"{storage.path}: no sample; expected members KEY.jpg and KEY.cls")
    *tables, hashes = (np.array(column, dtype) for column, dtype in zip(columns, (*DTYPES, "<i8")))
    _, places, uses = np.unique(hashes, return_inverse=True, return_counts=True)
    tables[-1][uses[places] > 1] |= TWICE
    return Index(*tables)


def _hash(label: int, key: str) -> int:
    """A number that two samples of one label share if they have one key."""
    return int.from_bytes(sha256(f"{label} {key}".encode()).digest()[:8], "little", signed=True)


def _counts(storage: Storage) -> dict[str, int]:
    """Samples by shard as the list of shards that other tools write says."""
    data = storage.beside(SHARD_LIST)
    if data is None:
        return {}
    try:
        shards = json.loads(data)["shardlist"]
        return {str(shard["url"]).rsplit("/", 1)[-1]: int(shard["nsamples"]) for shard in shards if "nsamples" in shard}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{storage.folder}/{SHARD_LIST}: no list of shards; repair it or remove it") from None


def _samples(file: BinaryIO, size: int, name: str, label: str) -> Iterator[_Sample]:
    """Neighbouring members that differ only behind the first dot of their base names are one sample."""
    seen: dict[str, int] = {}
    group: dict[str, Member] = {}
    key = ""
    for member in members(file, size, name):
        folder, slash, base = member.path.rpartition("/")
        stem, _, ending = base.partition(".")
        if not stem:  # hidden files, such as macOS adds
            continue
        if (found := folder + slash + stem) != key:
            if found in seen:
                raise InputError(
                    f"{name}: byte {member.start}: the key {found!r} comes twice, first at byte {seen[found]}; "
                    "give each sample a key of its own"
                )
            yield from _sample(file, key, group, name, label)
            key, group = found, {}
            seen[key] = member.start
        if (ending := ending.lower()) in group:
            raise InputError(
                f"{name}: byte {member.start}: {member.path!r} comes twice, first at byte "
                f"{group[ending].start}; give each sample a key of its own"
            )
        group[ending] = member
    yield from _sample(file, key, group, name, label)


def _sample(file: BinaryIO, key: str, group: dict[str, Member], name: str, label: str) -> Iterator[_Sample]:
    images = [member for ending, member in group.items() if f".{ending}" in SUFFIXES]
    source = group.get("cls", group.get("json"))
    if not images and "cls" not in group and not _labels_one(file, group.get("json"), label):
        return  # a read-me, or the description of the whole
    if len(images) != 1 or source is None:
        start = next(iter(group.values())).start
        what = "no .cls or .json with its label" if images else f"no image ({', '.join(sorted(SUFFIXES))} are read)"
        raise InputError(
            f"{name}: byte {start}: the sample {key!r} has {what if len(images) < 2 else 'several images'}"
        )
    if not 0 < images[0].size <= MAX_BYTES:
        raise InputError(
            f"{name}: byte {images[0].start}: {images[0].path!r} has {images[0].size:,} bytes, not 1 to "
            f"{MAX_BYTES:,}; remove it"
        )
    if source.size > MAX_LABEL_BYTES:
        raise InputError(f"{name}: byte {source.start}: {source.path!r} has {source.size:,} bytes; that is no label")
    file.seek(source.offset)
    data = file.read(source.size)
    value = data.strip().decode("ascii", "replace") if "cls" in group else _from_json(data, label)
    if not value.isdigit() or len(value) > 10 or int(value) > MAX_LABEL:
        where = "" if "cls" in group else f" under {label!r}"
        raise InputError(
            f"{name}: byte {source.start}: {source.path!r} holds {value[:40]!r}{where}, not a whole number from 0"
        )
    yield _Sample(key, images[0], int(value))


def _labels_one(file: BinaryIO, member: Member | None, label: str) -> bool:
    """Whether a `.json` member has the label of a sample."""
    if member is None or member.size > MAX_LABEL_BYTES:
        return False
    file.seek(member.offset)
    return _from_json(file.read(member.size), label).isdigit()


def _from_json(data: bytes, label: str) -> str:
    try:
        values: Any = json.loads(data)
    except (ValueError, RecursionError):
        return data[:40].decode("utf-8", "replace")
    value = values.get(label) if isinstance(values, dict) else None
    return str(value) if not isinstance(value, bool) else ""
