"""Tar shards: what other tools wrote, what cannot be read, and what is fetched."""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import os
import pickle
import shutil
import tarfile
import threading
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.data.convert import convert
from facezoo.data.opening import open_dataset
from facezoo.data.samplers import Blocks
from facezoo.data.shard_index import SHARD_LIST
from facezoo.data.storage import expand
from facezoo.image import write_image
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

FILES = Path(__file__).parent / "files"
SIX = "b15d0341dcbbe49c"
"""Digest of the six pictures, by the script that made them."""


def open_shards(path, **options):
    return DATASETS.create(f"webdataset:path='{path}'", **options)


def write_tar(path, entries, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def sample(key, label=b"0", image=b"image"):
    return [(f"{key}.jpg", image + key.encode()), (f"{key}.cls", label)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_shards_that_webdataset_wrote_open(tmp_path):
    shutil.copytree(FILES / "webdataset", tmp_path / "shards")
    data = open_shards(tmp_path / "shards")
    assert data.labels.tolist() == [0, 0, 1, 2, 2, 2] and data.classes == ["0", "1", "2"]
    assert data.shards.tolist() == [0, 0, 0, 0, 1, 1] and data.shards.dtype == np.int32
    assert sha256(b"".join(data.encoded(k) for k in range(6))).hexdigest().startswith(SIX)
    assert data.path(4) == "2/0004.jpg" and data.name(0).endswith("webdataset-000000.tar: byte 1536")
    assert data.read(5).shape == (24, 24, 3)


def test_what_is_written_is_read_alike(people, write, same, tmp_path):
    files = write(f"webdataset:path={tmp_path / 'shards'}", people)
    data = open_shards(tmp_path / "shards")
    assert same(data, people) and [data.path(k) for k in range(8)] == [people.path(k) for k in range(8)]
    assert same(pickle.loads(pickle.dumps(data)), people)  # noqa: S301 - our own
    listed = json.loads((tmp_path / "shards" / SHARD_LIST).read_text())["shardlist"]
    assert [(shard["url"], shard["nsamples"]) for shard in listed] == [
        ("shard-000000.tar", 3),
        ("shard-000001.tar", 3),
        ("shard-000002.tar", 2),
    ]
    assert all(file.exists() for file in files)


def test_dots_and_percent_signs_in_names_come_back(people, write, tmp_path):
    odd = ["ada/m.0x.1 50%.jpg", "bob/%2E.jpg"]
    people.path = lambda k: odd[k] if k < 2 else f"ada/{k}.jpg"
    write(f"webdataset:path={tmp_path / 'shards'}", people)
    data = open_shards(tmp_path / "shards")
    assert [data.path(k).split("/")[-1] for k in range(2)] == ["m.0x.1 50%.jpg", "%2E.jpg"]


def test_images_that_differ_in_their_endings_only_have_keys_of_their_own(people, write, tmp_path):
    names = ["1.jpg", "1.png", "1.JPG", "1.png.png", *map("{}.jpg".format, range(4, 8))]
    people.path = lambda k: f"ada/{names[k]}"
    write(f"webdataset:path={tmp_path / 'shards'}", people, 8)
    data = open_shards(tmp_path / "shards")
    assert [data.encoded(k) for k in range(8)] == [people.encoded(k) for k in range(8)]
    assert len({data.path(k) for k in range(8)}) == 8


def test_a_shard_replaced_by_an_older_one_of_its_size_has_its_own_labels(people, write, tmp_path):
    for name in ("shards", "other"):
        write(f"webdataset:path={tmp_path / name}", people)
        people.labels = people.labels[::-1].copy()
    index = next((tmp_path / "shards").glob("*.index")).read_bytes()
    assert open_shards(tmp_path / "shards").labels.tolist() == people.labels.tolist()
    assert next((tmp_path / "shards").glob("*.index")).read_bytes() == index  # the one that was written
    for shard in (tmp_path / "other").glob("*.tar"):
        os.utime(shard, (0, 0))
        shutil.copy2(shard, tmp_path / "shards")
    assert open_shards(tmp_path / "shards").labels.tolist() == people.labels[::-1].tolist()


def test_the_index_is_kept_and_made_anew_when_a_shard_changes(tmp_path, monkeypatch):
    shard = write_tar(tmp_path / "a.tar", sample("x"))
    assert len(open_shards(shard)) == 1
    (index,) = tmp_path.glob("*.index")
    before = index.stat().st_mtime_ns
    assert len(open_shards(shard)) == 1 and index.stat().st_mtime_ns == before
    write_tar(shard, sample("x") + sample("y"))
    assert len(open_shards(shard)) == 2
    for damaged in (b"", b"no index", index.read_bytes()[:-8]):
        index.write_bytes(damaged)
        assert len(open_shards(shard)) == 2


def test_an_index_that_points_beyond_its_shard_is_not_believed(tmp_path):
    shard = write_tar(tmp_path / "a.tar", sample("x"))
    open_shards(shard)
    (index,) = tmp_path.glob("*.index")
    with index.open("rb") as file:
        tables = [np.load(file) for _ in range(7)]
    tables[1] += 1 << 30
    with index.open("wb") as file:
        for table in tables:
            np.save(file, table)
    assert open_shards(shard).encoded(0) == b"imagex"


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_names_of_any_script_are_read(tmp_path, format):
    key = "x" * 200 + "/" + "é東" * 60
    data = open_shards(write_tar(tmp_path / "a.tar", sample(key) + sample("y/y"), format=format))
    assert data.path(0) == f"0/{key}.jpg" and data.path(1) == "0/y/y.jpg"
    assert data.encoded(1) == b"imagey/y"


def test_labels_in_json_are_found_by_their_key(tmp_path):
    entries = [("a.jpg", b"1"), ("a.json", b'{"id": 4}'), ("b.jpg", b"2"), ("b.json", b'{"id": "2"}')]
    data = open_shards(write_tar(tmp_path / "a.tar", entries), label="id")
    assert data.classes == ["2", "4"] and data.labels.tolist() == [1, 0] and data.problems.gaps.count == 3
    with pytest.raises(InputError, match=r"'a\.json' holds 'None' under 'label', not a whole number"):
        open_shards(tmp_path / "a.tar")


def test_folders_hidden_files_and_notes_are_no_samples(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        folder = tarfile.TarInfo("./p")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in [("./p/._1.jpg", b"mac"), ("README.md", b"hello"), *sample("./p/1")]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert len(open_shards(tmp_path / "a.tar")) == 1


@pytest.mark.parametrize(
    "entries, message",
    [
        (sample("a") + sample("b") + sample("a"), r"byte 4096: the key 'a' comes twice, first at byte 0"),
        (sample("a") + sample("a", b"1"), r"byte 2048: 'a\.jpg' comes twice, first at byte 0"),
        ([("a.jpg", b"x")], r"byte 0: the sample 'a' has no \.cls or \.json"),
        (
            [("a.avif", b"x"), ("a.json", b'{"label": 1}')],
            r"byte 0: the sample 'a' has no image \(\.bmp, .* are read\)",
        ),
        ([("a.cls", b"1")], r"byte 0: the sample 'a' has no image"),
        ([*sample("a"), ("a.png", b"x")], r"the sample 'a' has several images"),
        (sample("a", b"-1"), r"byte 1024: 'a\.cls' holds '-1', not a whole number"),
        (sample("a", b"9" * 10), r"holds '9999999999', not a whole number"),
        ([("a.jpg", b""), ("a.cls", b"1")], r"byte 0: 'a\.jpg' has 0 bytes"),
        (sample("../a"), r"byte 0: '\.\./a\.jpg' is not a plain path"),
        (sample("/a"), r"byte 0: '/a\.jpg' is not a plain path"),
        ([], r"no sample; expected members KEY\.jpg and KEY\.cls"),
    ],
)
def test_samples_that_cannot_be_told_apart_or_used_are_named_by_their_byte(tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        open_shards(write_tar(tmp_path / "a.tar", entries))


def test_one_key_in_two_shards_is_two_samples(tmp_path):
    for shard in ("a", "b"):
        write_tar(tmp_path / f"{shard}.tar", sample("1", image=shard.encode()))
    data = open_shards(tmp_path)
    assert [data.encoded(k) for k in range(2)] == [b"a1", b"b1"]
    assert [data.path(k) for k in range(2)] == ["0/000000000.jpg", "0/000000001.jpg"]


def test_links_joined_truncated_and_compressed_tars_are_refused(tmp_path):
    whole = write_tar(tmp_path / "a.tar", sample("a") + sample("b")).read_bytes()
    for name, data, message in (
        ("short.tar", whole[:2048], r"byte 2048: the tar ends without its end mark"),
        ("cut.tar", whole[:1536], r"byte 1024: 'a\.cls' of 1 bytes reaches beyond the end of the file"),
        ("joined.tar", whole + whole, r"byte 4096: data behind the end mark"),
        ("text.tar", b"x" * 2048, r"byte 0: no tar header"),
        ("empty.tar", b"", r"byte 0: the tar ends without its end mark"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=message):
            open_shards(tmp_path / name)
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(InputError, match=r"'a\.jpg' is a link"):
        open_shards(tmp_path / "link.tar")


def test_a_shard_that_shrinks_while_it_is_open_is_noticed(tmp_path):
    shard = write_tar(tmp_path / "a.tar", sample("a"))
    data = open_shards(shard)
    shard.write_bytes(shard.read_bytes()[:512])
    with pytest.raises(InputError, match=r"had 10,240 bytes and now has 512"):
        data.encoded(0)


def test_the_list_of_shards_must_agree(tmp_path):
    write_tar(tmp_path / "a.tar", sample("a"))
    (tmp_path / SHARD_LIST).write_text('{"shardlist": [{"url": "a.tar", "nsamples": 2}]}')
    with pytest.raises(InputError, match=r"a\.tar: 1 samples, datasets_webdataset\.json lists 2"):
        open_shards(tmp_path)


def test_check_drops_what_does_not_decode(tmp_path):
    shutil.copytree(FILES / "webdataset", tmp_path / "shards")
    write_tar(tmp_path / "shards" / "z.tar", sample("z", b"7"))
    with pytest.raises(InputError, match=r"unreadable images: 1 \(.*z\.tar: byte 512\)"):
        open_shards(tmp_path / "shards", check=True)
    data = open_shards(tmp_path / "shards", check=True, unreadable="drop", min_images=2)
    assert data.labels.tolist() == [0, 0, 1, 1, 1] and data.classes == ["0", "2"]
    assert data.shards.tolist() == [0, 0, 0, 1, 1] and data.read(4).shape == (24, 24, 3)


def test_patterns_stand_for_files_in_order(tmp_path):
    assert expand("a-{008..010}-{x,y}") == [f"a-{n}-{x}" for n in ("008", "009", "010") for x in "xy"]
    for pattern in ("{2..1}", "{0..9999999}", "{0..99999}{0..99999}"):
        with pytest.raises(InputError, match=r"no rising range|more than"):
            expand(pattern)
    for name in ("s-0.tar", "s-1.tar", "t.tar"):
        write_tar(tmp_path / name, sample(name[:-4]))
    assert len(open_shards(tmp_path / "s-{0..1}.tar")) == len(open_shards(tmp_path / "s-*.tar")) == 2
    with pytest.raises(InputError, match=r"s-2\.tar: no such file"):
        open_shards(tmp_path / "s-{0..2}.tar")
    with pytest.raises(InputError, match=r"no file that ends with \.tar"):
        open_shards(tmp_path.joinpath("empty").mkdir() or tmp_path / "empty")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_refused_or_does_not_matter(tmp_path, data):
    whole = bytearray((FILES / "webdataset" / "webdataset-000001.tar").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Most draws hit headers: images may hold anything.
        place = data.draw(st.one_of(st.integers(0, len(whole) - 1), st.integers(0, 511), st.integers(1536, 2047)))
        whole[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole))) :]
    (tmp_path / "x.tar").write_bytes(whole)
    try:
        opened = open_shards(tmp_path / "x.tar")
        for k in range(len(opened)):
            assert len(opened.encoded(k)) < len(whole) and opened.path(k)
    except InputError as error:
        assert "\n" not in str(error)


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


def test_behind_a_url_only_the_images_are_fetched(remote, people, same):
    url, counts = remote
    data = open_shards(url)
    assert counts("range") == counts("whole") == 0  # the index came with the shards
    assert same(data, people) and counts("range") == len(people) and data.path(3) == people.path(3)


def read_all(data, start, results):
    results.put([len(data.encoded(int(k))) for k in np.roll(np.arange(len(data)), start)])


def test_processes_that_read_at_once_fetch_every_shard_once(remote, people, tmp_path):
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


def test_the_cache_stays_within_its_size_and_an_order_by_shards_fetches_each_once(remote, people, same, tmp_path):
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


def test_the_sampler_of_blocks_fetches_every_shard_once_an_epoch(people, write, tmp_path, monkeypatch):
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


def test_a_url_in_memory_is_walked_once_and_then_its_index_is_kept(people, write, same, tmp_path):
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


def test_an_unknown_kind_of_url_is_one_sentence():
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
