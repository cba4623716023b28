"""WebDataset shards behind a URL: what is fetched, how often, and what is kept."""

from __future__ import annotations

import functools
import multiprocessing
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from facezoo.data.convert import convert
from facezoo.data.opening import open_dataset
from facezoo.data.samplers import Blocks
from facezoo.image import write_image
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

pytestmark = pytest.mark.usefixtures("own_cache")


class Counted(LocalFileSystem):
    """Local files under another name; every reading is noted in a file that all processes share."""

    protocol = "counted"
    log = ""

    def _note(self, what):
        with open(self.log, "a") as file:  # noqa: PTH123 - appended in one call
            file.write(f"{what}\n")

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(str(path).removeprefix("counted://"))

    def unstrip_protocol(self, name):
        return f"counted://{self._strip_protocol(name)}"

    def get_file(self, rpath, lpath, **options):
        self._note("whole")
        shutil.copyfile(self._strip_protocol(rpath), lpath)

    def cat_file(self, path, start=None, end=None, **options):
        self._note("range" if start is not None else "file")
        return super().cat_file(path, start=start, end=end, **options)


@pytest.fixture
def remote(people, write, tmp_path):
    """Three shards behind a URL, and how often something was read."""
    write(f"webdataset:path={tmp_path / 'far'}", people)
    fsspec.register_implementation("counted", Counted, clobber=True)
    Counted.log = str(tmp_path / "log")
    (tmp_path / "log").touch()
    return f"counted://{tmp_path}/far", lambda what: (tmp_path / "log").read_text().split().count(what)


def test_behind_a_url_only_the_images_are_fetched(open_shards, remote, people, same):
    url, counts = remote
    data = open_shards(url)
    assert counts("range") == counts("whole") == 0  # the index came with the shards
    assert same(data, people) and counts("range") == len(people) and data.path(3) == people.path(3)


def read_all(data, start, results):
    results.put([len(data.encoded(int(k))) for k in np.roll(np.arange(len(data)), start)])


def test_processes_that_read_at_once_fetch_every_shard_once(open_shards, remote, people, tmp_path):
    url, counts = remote
    data = open_shards(url, cache=tmp_path / "near")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    others = [context.Process(target=read_all, args=(data, k, results)) for k in range(4)]
    for other in others:
        other.start()
    assert all(len(results.get(timeout=60)) == len(people) for _ in others)
    for other in others:
        other.join()
    assert counts("whole") == 3 and counts("range") == 0
    assert len([path for path in (tmp_path / "near").iterdir() if path.suffix == ".tar"]) == 3


def test_the_cache_stays_within_its_size_and_an_order_by_shards_fetches_each_once(
    open_shards, remote, people, same, tmp_path
):
    url, counts = remote
    size = max(file.stat().st_size for file in (tmp_path / "far").glob("*.tar"))
    data = open_shards(url, cache=tmp_path / "near", cache_gb=2 * size / 1e9)
    held = []
    for first in range(0, len(data), 3):
        for k in np.random.default_rng(first).permutation(np.arange(first, min(len(data), first + 3))):
            assert data.encoded(int(k)) == people.encoded(int(k))
            held.append(sum(file.stat().st_size for file in (tmp_path / "near").glob("*.tar")))
    assert counts("whole") == 3 and max(held) <= 2 * size
    assert same(data, people)
    with pytest.raises(InputError, match=r"more than cache_gb=1e-06; set it higher"):
        open_shards(url, cache=tmp_path / "near", cache_gb=1e-6)


def test_the_sampler_of_blocks_fetches_every_shard_once_an_epoch(open_shards, people, write, tmp_path, monkeypatch):
    people.labels = np.repeat(np.arange(3), [10, 10, 12])
    monkeypatch.setattr(people, "encoded", lambda k: b"%d" % k)
    people.path = lambda k: f"x/{k}.jpg"
    write(f"webdataset:path={tmp_path / 'far'}", people, 4)
    fsspec.register_implementation("counted", Counted, clobber=True)
    Counted.log = str(tmp_path / "log")
    size = max(file.stat().st_size for file in (tmp_path / "far").glob("*.tar"))
    data = open_shards(f"counted://{tmp_path}/far", cache=tmp_path / "near", cache_gb=2 * size / 1e9)
    sampler = Blocks(data.labels, batch_size=4, accumulate=1, seed=0, shards=data.shards, window=2)
    for epoch in range(2):
        (tmp_path / "log").write_text("")
        seen = sorted(int(data.encoded(int(k))) for k in sampler.epoch(epoch))
        fetched = (tmp_path / "log").read_text().split()
        # What the epoch before has left in the cache need not be fetched.
        assert seen == list(range(32)) and 8 - 2 * epoch <= fetched.count("whole") <= 8


def test_a_url_in_memory_is_walked_once_and_then_its_index_is_kept(open_shards, people, write, same, tmp_path):
    write(f"webdataset:path={tmp_path / 'shards'}", people)
    memory = fsspec.filesystem("memory")
    for file in (tmp_path / "shards").glob("*.tar"):
        memory.pipe_file(f"/set/{file.name}", file.read_bytes())
    memory.pipe_file("/set/classes.txt", (tmp_path / "shards" / "classes.txt").read_bytes())
    try:
        assert same(open_shards("memory://set"), people)
        assert same(open_shards("memory://set/shard-{000000..000002}.tar"), people)
        memory.pipe_file("/set/shard-000002.tar", b"x" * 4096)
        with pytest.raises(InputError, match=r"shard-000002\.tar: byte 0: no tar header"):
            open_shards("memory://set")
    finally:
        memory.rm("/set", recursive=True)
    with pytest.raises(InputError, match="no such file"):
        open_shards("memory://set")
    with pytest.raises(InputError, match="cache is for files behind a URL"):
        open_shards(tmp_path / "shards", cache=tmp_path)


def test_an_unknown_kind_of_url_is_one_sentence(open_shards):
    with pytest.raises(InputError, match="nothing://x: "):
        open_shards("nothing://x")


def test_shards_are_read_through_http_from_a_server_without_ranges(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "faces" / "ada").mkdir(parents=True)
    write_image(tmp_path / "faces" / "ada" / "1.png", np.full((8, 8, 3), 7, np.uint8))
    convert(open_dataset(str(tmp_path / "faces")), WRITERS.create(f"webdataset:path={tmp_path / 'shards'}"))
    handler = functools.partial(SilentHandler, directory=str(tmp_path / "shards"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/shard-000000.tar"
        try:
            data = DATASETS.create(f"webdataset:path='{url}',cache={tmp_path / 'copies'}")
            assert (data.read(0) == 7).all()
        finally:
            server.shutdown()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """The test's output stays clean."""
