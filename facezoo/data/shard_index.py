"""Where the samples of tar shards lie: made once by walking through the tars' headers, then kept beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.mapped import keep, load_kept
from facezoo.data.storage import Storage
from facezoo.data.tar_index import Member, members
from facezoo.image import MAX_BYTES, SUFFIXES
from facezoo.types import InputError
from facezoo.zoo.cache import cache_dir

SAMPLE = np.dtype(
    [
        ("offset", "<i8"),
        ("size", "<i4"),
        ("label", "<i4"),
        ("shard", "<i4"),
        ("head", "<i4"),
        ("nested", "?"),
        ("twice", "?"),
    ]
)
"""One sample: where its image lies, its label, the bytes of headers before the image, whether its key names a folder,
and whether another sample of its label has its key."""

SHARD_LIST = "datasets_webdataset.json"
MAX_LABEL = 2**31 - 1
MAX_LABEL_BYTES = 1 << 20

Table = NDArray[np.void]


class _Sample(NamedTuple):
    key: str
    image: Member
    label: int


def index_of(storage: Storage, label: str) -> Table:
    """The samples (N,) of all shards, in order; walks through them where no index of their present state is there.

    Args:
        storage: the shards.
        label: the key of the label in `.json` members.

    Raises:
        InputError: a shard is damaged, a sample incomplete, its label no whole number, or a key comes twice in a shard.
    """
    source, stamp = _kept_under(storage, label), _stamp(storage)
    table: Any = load_kept(source, stamp)
    if table is None and not storage.remote and _index_file(source).exists():
        newest = max(int(file.version) for file in storage.files)
        if _index_file(source).stat().st_mtime_ns >= newest:
            table = load_kept(source, _any_version(stamp))
    if table is None and storage.remote:
        table = _shipped(storage.beside(f"{_name(storage, label)}.index"), stamp)
        if table is not None and _fits(table, storage):
            keep(source, stamp, table)
    if table is None or not _fits(table, storage):
        table = _walk(storage, label)
        keep(source, stamp, table)
    return table


def ship_index(storage: Storage, label: str) -> Path:
    """Make the index and store it beside the shards, good for any copy of them that is not newer; gives its file."""
    source = _kept_under(storage, label)
    keep(source, _any_version(_stamp(storage)), _walk(storage, label))
    return _index_file(source)


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


def _any_version(stamp: list[int]) -> list[int]:
    return [*stamp[:-1], 0]


def _index_file(source: Path) -> Path:
    """Where `keep` stores what belongs to a path, if it may."""
    return source.with_name(f"{source.name}.index")


def _name(storage: Storage, label: str) -> str:
    names = "\n".join([label, *(file.name for file in storage.files)])
    return f"webdataset-{sha256(names.encode()).hexdigest()[:8]}"


def _shipped(data: bytes | None, stamp: list[int]) -> Table | None:
    """The index that lies beside shards behind a URL, where their sizes are those it was made for."""
    if data is None:
        return None
    stream = io.BytesIO(data)
    try:
        made_for = np.load(stream, allow_pickle=False).tolist()
        return np.load(stream, allow_pickle=False) if made_for[:-1] == stamp[:-1] else None
    except (ValueError, EOFError, TypeError):  # of another version
        return None


def _fits(table: Table, storage: Storage) -> bool:
    """Whether every sample lies inside its shard."""
    if table.dtype != SAMPLE or table.ndim != 1 or not len(table):
        return False
    ends = np.array([file.size for file in storage.files], np.int64)
    for low in range(0, len(table), 1 << 19):
        part = table[low : low + (1 << 19)]
        shard, offset, size, head = part["shard"], part["offset"], part["size"], part["head"]
        if shard.min() < 0 or shard.max() >= len(ends) or (np.diff(shard) < 0).any() or part["label"].min() < 0:
            return False
        if min(size.min(), head.min()) < 0 or (offset < head).any() or (offset + size > ends[shard]).any():
            return False
    return True


def _walk(storage: Storage, label: str) -> Table:
    counts = _counts(storage)
    tables = []
    keys = []
    for number, file in enumerate(progress.track(storage.files, "index of the shards", "shards")):
        with storage.open(number) as stream:
            found = list(_samples(stream, file.size, file.path, label))
        if file.name in counts and counts[file.name] != len(found):
            raise InputError(
                f"{file.path}: {len(found):,} samples, {SHARD_LIST} lists {counts[file.name]:,}; repair it"
            )
        rows = [
            (s.image.offset, s.image.size, s.label, number, s.image.offset - s.image.start, "/" in s.key, False)
            for s in found
        ]
        tables.append(np.array(rows, SAMPLE))
        keys.append(np.fromiter((hash_of(s.label, s.key) for s in found), np.int64, len(found)))
    table = np.concatenate(tables)
    if not len(table):
        raise InputError(f"{storage.path}: no sample; expected members KEY.jpg and KEY.cls")
    _, places, uses = np.unique(np.concatenate(keys), return_inverse=True, return_counts=True)
    table["twice"] = uses[places] > 1
    return table


def hash_of(label: int, key: str) -> int:
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
    if not images and "cls" not in group:  # a read-me, or the description of the whole
        return
    if len(images) != 1 or source is None:
        start = next(iter(group.values())).start
        what = "no .cls or .json with its label" if images else "no image"
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


def _from_json(data: bytes, label: str) -> str:
    try:
        values: Any = json.loads(data)
    except (ValueError, RecursionError):
        return data[:40].decode("utf-8", "replace")
    value = values.get(label) if isinstance(values, dict) else None
    return str(value) if not isinstance(value, bool) else ""
