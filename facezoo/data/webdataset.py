"""WebDataset's tar shards, read at random or shard by shard, here or behind a URL, and written."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.classes import numbered, write_classes
from facezoo.data.dataset import Dataset
from facezoo.data.shard_index import NESTED, SHARD_LIST, TWICE, Index, index_of, ship_index
from facezoo.data.storage import Storage
from facezoo.data.tar_index import BLOCK, path_of
from facezoo.data.writer import Encoded, Part, Writer
from facezoo.files import write_text
from facezoo.registry import DATASETS, WRITERS

ENDING = ".tar"
LABEL = "label"

Shards = NDArray[np.int32]

ESCAPE = re.compile("%2E|%25")
"""In the base name of a key: a dot, and a percent sign."""


@DATASETS.register(name="webdataset")
class WebDataset(Dataset):
    """Members `KEY.jpg` (or another image) and `KEY.cls` (or `.json`) of tar shards, side by side.

    The first opening walks through all headers and keeps an index, beside the shards or in the cache folder; behind a
    URL the index that lies beside the shards is taken where sizes agree. `shards` is set: an order that stays within a
    few shards, such as the sampler `blocks`, fetches each shard once an epoch into `cache`, so that the data may be
    larger than the disk. Equal keys in different shards are different samples, in one shard they are refused.

    Args:
        path: a shard, a folder of shards, or a pattern such as `faces-{000000..001023}.tar`, here or as a URL.
        label: key of the label in `.json` members; a `.cls` member goes before.
        cache: folder for copies of shards behind a URL; without it only the images' bytes are fetched, one by one.
        cache_gb: how much the cache may hold: more than the shards that are read at a time.
        check: decode every image once now.
        unreadable: with check, fail on damaged images or drop them.
        min_images: identities with fewer images than this are left out.

    Raises:
        InputError: no shard, a damaged one, an incomplete sample, no label, or a key that comes twice in a shard.
    """

    shards: Shards

    def __init__(
        self,
        path: str,
        label: str = LABEL,
        cache: Path | None = None,
        cache_gb: float = 100.0,
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        self.storage = Storage(path, (ENDING,), cache, cache_gb)
        found = index_of(self.storage, label)
        values: Any = found.labels  # not widened: the memory of opening is for the index
        self.shards = found.shards
        self._index = found._replace(labels=found.labels[:0])  # they are in `values`
        del found
        self._nested = bool((self._index.flags & NESTED).all())
        classes, gaps = numbered(self.storage.named(), values)
        problems = {"gaps": gaps}
        kept = self._open(Path(path), values, classes, len(values), problems, check, unreadable, min_images)
        if len(kept) < len(values):
            tables: list[Any] = [table[kept] if len(table) else table for table in self._index]
            self._index = Index(*tables)
            self.shards = self._index.shards

    def _place(self, index: int) -> tuple[int, int]:
        """The shard, and the byte at which the image begins in it."""
        return int(self.shards[index]), int(self._index.blocks[index]) * BLOCK

    def encoded(self, index: int) -> bytes:
        return self.storage.read(*self._place(index), int(self._index.sizes[index]))

    def name(self, index: int) -> str:
        shard, offset = self._place(index)
        return f"{self.storage.files[shard].path}: byte {offset}"

    def path(self, index: int) -> str:
        """By the key: `identity/key.jpg`, or the key as it is where it begins with the identity."""
        shard, offset = self._place(index)
        head = int(self._index.heads[index]) * BLOCK
        member = path_of(self.storage.read(shard, offset - head, head), self.name(index))
        folder, _, base = member.rpartition("/")
        stem, _, ending = base.partition(".")
        identity = self.classes[self.labels[index]]
        if self._index.flags[index] & TWICE:
            return f"{identity}/{index:09d}.{ending.lower()}"
        stem = ESCAPE.sub(lambda found: chr(int(found[0][1:], 16)), stem)
        key = f"{folder}/{stem}" if folder else stem
        if not (self._nested and key.startswith(f"{identity}/")):
            key = f"{identity}/{key}"
        return f"{key}.{ending.lower()}"


@WRITERS.register(name="webdataset")
@dataclass(frozen=True)
class WebDatasetWriter(Writer):
    """A folder of shards `shard-000000.tar`, with the list of shards, the names of the classes and the index.

    Every part is one shard; a dot in an image's base name, where keys end, is written %2E. Of images that differ in
    their endings only, the later ones' keys hold the ending too.

    Args:
        path: the folder.
    """

    path: Path
    copies = False

    @property
    def suffix(self) -> str:
        return ENDING

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        keys: set[str] = set()
        with file.open("wb") as stream:
            for sample in samples:
                stem, _, ending = sample.path.rpartition(".")
                folder, slash, base = stem.rpartition("/")
                key = folder + slash + base.replace("%", "%25").replace(".", "%2E")
                while key in keys:
                    key += f"%2E{ending}"
                keys.add(key)
                _add(stream, f"{key}.{ending.lower()}", sample.data)
                _add(stream, f"{key}.cls", str(sample.label).encode())
            stream.write(bytes(2 * BLOCK))
        return {"samples": len(keys)}

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        self.path.mkdir(parents=True, exist_ok=True)
        shards = []
        for number, part in enumerate(parts):
            shard = self.path / f"shard-{number:06d}{ENDING}"
            if part.file.exists():
                part.file.replace(shard)
            shards.append(shard)
        listed = [{"url": s.name, "nsamples": p.samples, "filesize": s.stat().st_size} for s, p in zip(shards, parts)]
        text = json.dumps({"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": listed}, indent=1)
        write_text(self.path / SHARD_LIST, text + "\n")
        names = write_classes(self.path, classes)
        ship_index(Storage(str(self.path), (ENDING,)), LABEL)  # notes when the shards were written: no part of the data
        return [*shards, self.path / SHARD_LIST, names]


def _add(stream: BinaryIO, path: str, data: bytes) -> None:
    info = tarfile.TarInfo(path)
    info.size = len(data)
    stream.write(info.tobuf(tarfile.PAX_FORMAT))
    stream.write(data)
    stream.write(bytes(-len(data) % BLOCK))
