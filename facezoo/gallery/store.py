"""The gallery's file: SQLite in write-ahead mode, every change one transaction.

A process killed at any time loses nothing that was committed and leaves nothing half-written.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.gallery.index import Integers
from facezoo.types import Contract, FloatArray, InputError

APPLICATION_ID = 0x465A474C
"""Marks the file as a gallery, in SQLite's header ("FZGL")."""

FORMAT = 1
"""Version of the tables, in SQLite's user_version."""

PAGE = 16_384
"""Bytes; in SQLite's usual 4,096 a 512-d embedding would fill a page of its own, and half of it would be wasted."""

WAIT = 30.0
"""Seconds to wait for another process that is writing."""

LOADED = 4096
"""Embeddings fetched from the file at a time."""

# autoincrement: the id of a removed embedding is never used again, so a mirror knows new rows by their ids.
TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL, created TEXT NOT NULL
);
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity INTEGER NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    vector BLOB NOT NULL, quality REAL, source TEXT NOT NULL, digest TEXT NOT NULL, created TEXT NOT NULL
);
CREATE INDEX embeddings_identity ON embeddings (identity, digest);
"""


class Store:
    """One open gallery file; safe to share between threads.

    Args:
        path: the file; made, with its folder, if a contract is given and it does not exist.
        contract: of the model whose embeddings it holds; None takes what the file says.
        model: spec or path that loads the model, kept when the file is made.
    """

    def __init__(self, path: Path, contract: Contract | None, model: str = "") -> None:
        self.path, self.rollbacks, self._lock = path, 0, threading.RLock()
        if path.is_dir():
            raise InputError(f"{path}: is a folder; a gallery is one file")
        if contract is None and not path.is_file():
            raise InputError(f"{path}: no such gallery")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are begun and ended by `writing` and `reading` only.
            self._db = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise InputError(f"{path}: cannot be opened ({error})") from None
        try:
            self._open(contract, model)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(f"{path}: not a gallery, or not one that can be opened here ({error})") from None
        except BaseException:
            self._db.close()
            raise

    def _open(self, contract: Contract | None, model: str) -> None:
        with self._transaction("BEGIN"):
            made = self._pragma("application_id") == APPLICATION_ID
            empty = self._one("SELECT count(*) FROM sqlite_master") == 0
        if not made and (not empty or contract is None):
            raise InputError(f"{self.path}: {'an empty file' if empty else 'a database'}, not a gallery")
        self._db.execute("PRAGMA trusted_schema = OFF")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute(f"PRAGMA page_size = {PAGE}")  # takes effect on a new file only
        self._write_ahead()
        self._db.execute("PRAGMA synchronous = FULL")  # a commit also survives a power cut
        if not made and contract is not None:
            self._make(contract, model)
        if (version := self._pragma("user_version")) != FORMAT:
            raise InputError(f"{self.path}: gallery format {version}; this facezoo reads format {FORMAT}")
        self.contract = Contract.from_json(self.fact("contract"))
        self.model = self.fact("model")

    def _write_ahead(self) -> None:
        """Take the write-ahead journal. SQLite itself does not wait while another process makes the same file."""
        until = time.monotonic() + WAIT
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _make(self, contract: Contract, model: str) -> None:
        with self.writing():
            if self._pragma("application_id") == APPLICATION_ID:
                return  # another process made it meanwhile
            for statement in TABLES.split(";"):
                self._db.execute(statement)
            facts = [("contract", contract.to_json()), ("model", model)]
            self._db.executemany("INSERT INTO facts VALUES (?, ?)", facts)
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all that happens inside is committed together, or not at all; it may be nested."""
        with self._telling("nothing was changed"), self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """One state of the file, whatever other processes commit meanwhile."""
        with self._telling("cannot be read"), self._transaction("BEGIN"):
            yield

    @contextlib.contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path}: {what}: {error}") from None

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self.rollbacks += 1
                if self._db.in_transaction:  # a full disk ends it by itself
                    self._db.execute("ROLLBACK")
                raise

    def _one(self, query: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None if there is no row."""
        with self._lock:
            row = self._db.execute(query, values).fetchone()
        return row[0] if row else None

    def _pragma(self, name: str) -> int:
        return self._one(f"PRAGMA {name}")

    def fact(self, key: str) -> str:
        return self._one("SELECT value FROM facts WHERE key = ?", (key,))

    def version(self) -> tuple[int, int]:
        """Changes when this connection or another one has changed the file."""
        return self._pragma("data_version"), self._db.total_changes

    def identity(self, name: str) -> int | None:
        """An identity's id."""
        return self._one("SELECT id FROM identities WHERE name = ?", (name,))

    def names(self) -> dict[int, str]:
        """Names by identity id, in the order of the ids."""
        with self._lock:
            return dict(self._db.execute("SELECT id, name FROM identities ORDER BY id"))

    def count(self, table: str) -> int:
        return self._one(f"SELECT count(*) FROM {table}")

    def photos(self, name: str) -> int:
        return self._one("SELECT count(*) FROM embeddings WHERE identity = ?", (self.identity(name),))

    def metadata(self, name: str) -> dict[str, Any] | None:
        text = self._one("SELECT metadata FROM identities WHERE name = ?", (name,))
        return None if text is None else json.loads(text)

    def has(self, name: str, digest: str) -> bool:
        query = "SELECT 1 FROM embeddings WHERE identity = ? AND digest = ?"
        return self._one(query, (self.identity(name), digest)) is not None

    def add(self, name: str, rows: Sequence[tuple[bytes, float | None, str, str]], metadata: dict | None) -> None:
        """Add (vector, quality, source, digest) to a name, inside `writing`."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._db.execute("INSERT OR IGNORE INTO identities (name, metadata, created) VALUES (?, '{}', ?)", (name, now))
        if metadata is not None:
            self._db.execute("UPDATE identities SET metadata = ? WHERE name = ?", (json.dumps(metadata), name))
        identity = self.identity(name)
        self._db.executemany(
            "INSERT INTO embeddings (identity, vector, quality, source, digest, created) VALUES (?, ?, ?, ?, ?, ?)",
            [(identity, *row, now) for row in rows],
        )

    def remove(self, name: str) -> None:
        """Remove an identity and its embeddings, inside `writing`."""
        self._db.execute("DELETE FROM identities WHERE name = ?", (name,))

    def embeddings(self, after: int, dim: int) -> Iterator[tuple[Integers, Integers, FloatArray]]:
        """Ids (n,), identities (n,) and vectors (n, dim) of the embeddings with larger ids, some thousand at a time."""
        cursor = self._db.execute("SELECT id, identity, vector FROM embeddings WHERE id > ? ORDER BY id", (after,))
        while rows := cursor.fetchmany(LOADED):
            blob = b"".join(row[2] for row in rows)
            if any(len(row[2]) != 4 * dim for row in rows):
                raise InputError(f"{self.path}: damaged: an embedding has not {dim} numbers; restore it from a copy")
            numbers = np.array([row[:2] for row in rows], np.int64)
            yield numbers[:, 0], numbers[:, 1], np.frombuffer(blob, "<f4").reshape(-1, dim)

    def embedding_ids(self, until: int) -> Integers:
        """Ids of the embeddings up to this one, in order."""
        rows = self._db.execute("SELECT id FROM embeddings WHERE id <= ? ORDER BY id", (until,))
        return np.fromiter((row[0] for row in rows), np.int64)

    def source(self, embedding: int) -> str:
        return self._one("SELECT source FROM embeddings WHERE id = ?", (embedding,))
