"""Enrolled identities and the search for a face among them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from facezoo.embedder import load_embedder
from facezoo.gallery.index import Index, Photos
from facezoo.gallery.store import Store
from facezoo.types import UNNAMED, Contract, FloatArray, InputError, unit

MAX_NAME = 500
"""Letters of an identity's name."""


@dataclass(frozen=True)
class Hit:
    """An identity found for a face.

    Attributes:
        name: the identity's.
        score: cosine, of its best photo or the mean over its photos.
        source: where its best photo came from.
        known: the score reaches the threshold; None if neither the search nor the model has one.
    """

    name: str
    score: float
    source: str
    known: bool | None


class Gallery:
    """Identities with the embeddings of their photos, durable in one file, searched exactly.

    Embeddings are stored L2-normalised, as float32. Searching keeps a copy of them in memory (4 x D bytes
    each), made at the first search and brought up to date when this or another process has changed the file.
    Threads may share a gallery. The file belongs on a local disk: SQLite's write-ahead log needs one.

    Args:
        path: the file; made if it does not exist and a model is given.
        contract: the contract, or the name or file, of the model that embeds; None takes what the file says.
        model: name or file that loads the model, remembered for those who open the gallery later.

    Raises:
        InputError: not a gallery, no such gallery, or a gallery of another model.
    """

    def __init__(self, path: Path | str, contract: Contract | str | None = None, model: str = "") -> None:
        if isinstance(contract, str):
            model = model or contract
            contract = load_embedder(contract).contract
        self._store = Store(Path(path), contract, model)
        self.contract, self.model, self.path = self._store.contract, self._store.model, self._store.path
        if contract is not None and (why := _difference(self.contract, contract)):
            self.close()
            raise InputError(f"{path}: a gallery of another model: {why}; enroll into a new gallery")
        self._index, self._rollbacks = Index(self.contract.embedding_dim), 0
        self._version: tuple[int, int] | None = None
        self._names: dict[int, str] = {}

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of identities."""
        return self._store.count("identities")

    def __contains__(self, name: str) -> bool:
        return self._store.identity(_name(name)) is not None

    @property
    def photos(self) -> int:
        """The number of embeddings, over all identities."""
        return self._store.count("embeddings")

    def names(self) -> list[str]:
        """All identities, sorted."""
        return sorted(self._store.names().values())

    def metadata(self, name: str) -> dict[str, Any]:
        """What was stored with an identity."""
        found = self._store.metadata(_name(name))
        if found is None:
            raise InputError(self._unknown(name))
        return found

    def has(self, name: str, digest: str) -> bool:
        """Whether a photo with this digest is enrolled for this identity."""
        return self._store.has(_name(name), digest)

    def add(
        self,
        name: str,
        embeddings: FloatArray,
        *,
        source: str | Sequence[str] = "",
        digest: str | Sequence[str] = "",
        quality: Sequence[float] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Add photos to an identity, which is made if it is new; all of them are stored, or none.

        Args:
            name: any text of one line; it is stored in Unicode's composed form (NFC).
            embeddings: (D,) or (n, D), of any norm but zero.
            source: where the photos came from, one for all or one for each.
            digest: of the photos' files, likewise; see `has`.
            quality: one for each, larger is better.
            metadata: JSON values that replace those stored with the identity; None leaves them.

        Raises:
            InputError: wrong shape, not finite or zero embeddings, an unusable name.
        """
        vectors = self._vectors(embeddings)
        count = len(vectors)
        if count == 0:
            raise InputError(f"{name}: no embedding to add")
        sources, digests = _each(source, count, "source"), _each(digest, count, "digest")
        qualities = [None] * count if quality is None else [float(q) for q in quality]
        if len(qualities) != count:
            raise InputError(f"{name}: {len(qualities)} qualities for {count} embeddings")
        blobs = [vector.astype("<f4").tobytes() for vector in vectors]
        with self._store.writing():
            self._store.add(_name(name), list(zip(blobs, qualities, sources, digests)), metadata)

    def transaction(self) -> AbstractContextManager[None]:
        """A context in which all changes are committed together at its end, or none if it is left by an error.

        Thousands of identities are added far faster in one.
        """
        return self._store.writing()

    def remove(self, name: str) -> int:
        """Remove an identity; the number of its photos.

        Raises:
            InputError: no such identity.
        """
        with self._store.writing():
            if name not in self:
                raise InputError(self._unknown(name))
            photos = self._store.photos(_name(name))
            self._store.remove(_name(name))
        return photos

    def search(
        self, embeddings: FloatArray, k: int = 5, threshold: float | None = None, photos: Photos = "best"
    ) -> list[list[Hit]]:
        """The k most similar identities for each embedding, best first; equal scores in the order of the names.

        Args:
            embeddings: (D,) or (Q, D), of any norm but zero.
            k: at least 1; fewer hits if the gallery is smaller.
            threshold: cosine from which a hit is known; by default the contract's.
            photos: an identity's score is that of its best photo, or the mean over its photos.
        """
        if k < 1:
            raise InputError(f"search: k is {k}, it must be at least 1")
        if photos not in ("best", "mean"):
            raise InputError(f"search: photos is {photos!r}, it must be 'best' or 'mean'")
        if threshold is not None and not -1 <= threshold <= 1:
            raise InputError(f"search: threshold is {threshold}, a cosine lies between -1 and 1")
        threshold = self.contract.threshold if threshold is None else threshold
        queries = self._vectors(embeddings)
        with self._store.reading():
            self._refresh()
            found = []
            for matches in self._index.search(queries, k, photos):
                ranked = sorted((-match.score, self._names[match.identity], match.embedding) for match in matches)
                found.append([self._hit(name, -less, photo, threshold) for less, name, photo in ranked[:k]])
        return found

    def _hit(self, name: str, score: float, photo: int, threshold: float | None) -> Hit:
        return Hit(name, score, self._store.source(photo), None if threshold is None else score >= threshold)

    def _refresh(self) -> None:
        """Bring the copy in memory up to the state that is being read."""
        if self._rollbacks != self._store.rollbacks:  # what was taken back may be in the copy
            self._index, self._version = Index(self.contract.embedding_dim), None
            self._rollbacks = self._store.rollbacks
        version = self._store.version()
        if version == self._version:
            return
        kept = self._store.embedding_ids(self._index.last)
        if len(kept) != len(self._index):  # rows are never changed, so others were removed
            self._index.keep(kept)
        count = self._store.count("embeddings") - len(self._index)
        if count:
            self._index.extend(count, self._store.embeddings(self._index.last, self.contract.embedding_dim))
        self._names, self._version = self._store.names(), version

    def _vectors(self, embeddings: FloatArray) -> FloatArray:
        """(n, D) float32 of norm 1."""
        vectors = np.atleast_2d(np.asarray(embeddings, np.float64))
        dim = self.contract.embedding_dim
        if vectors.ndim != 2 or vectors.shape[1] != dim:
            shape = np.shape(embeddings)
            raise InputError(f"embeddings: expected ({dim},) or (n, {dim}) as of {self.contract.name}, got {shape}")
        if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise InputError("embeddings: an embedding is zero or not finite: it points nowhere")
        return unit(vectors).astype(np.float32)

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name, self.names(), 3)
        return f"{self.path}: no identity {name!r}" + (f"; there is {', '.join(close)}" if close else "")


def _difference(stored: Contract, given: Contract) -> str:
    """What makes two models' embeddings incomparable, or an empty string."""
    digests = stored.weights_sha256, given.weights_sha256
    aside = {"threshold", "license", "training_data", "weights_sha256"}
    if all(digests):
        if digests[0] != digests[1]:
            return f"it holds embeddings of {stored.name} (weights {digests[0][:12]}), not of {given.name}"
        aside.add("name")  # the same weights under another name
    if UNNAMED in (stored.name, given.name):
        aside.add("name")
    for field in fields(Contract):
        have, want = getattr(stored, field.name), getattr(given, field.name)
        if field.name not in aside and have != want:
            return f"its {field.name} is {have}, the model's is {want}"
    return ""


def _name(name: str) -> str:
    """A name as it is stored; some file systems decompose letters with accents."""
    name = unicodedata.normalize("NFC", name).strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InputError(f"{name[:50]!r} is no name: it must be one line of 1 to {MAX_NAME} printable letters")
    return name


def _each(values: str | Sequence[str], count: int, what: str) -> list[str]:
    each = [values] * count if isinstance(values, str) else list(values)
    if len(each) != count:
        raise InputError(f"{len(each)} {what} values for {count} embeddings")
    return each
