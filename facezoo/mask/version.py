"""Which drawing made a masked photo."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from facezoo import __version__

SOURCES = ("*.py", "wearables/*.py", "*.npz")


@lru_cache(maxsize=1)
def drawing_version() -> str:
    """Changes with whatever may change a drawn pixel: the release, the code of this package, recipes, the mean face.

    It also changes with much that does not: photos that were kept are then drawn anew, which costs time and no truth.
    """
    folder, digest = Path(__file__).parent, sha256(__version__.encode())
    for path in sorted(path for kind in SOURCES for path in folder.glob(kind)):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
