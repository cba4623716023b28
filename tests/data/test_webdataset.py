"""Tar shards: what other tools wrote, what cannot be read, and what is fetched."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.data.shard_index import SHARD_LIST
from facezoo.data.storage import expand
from facezoo.types import InputError

pytestmark = pytest.mark.usefixtures("own_cache")

FILES = Path(__file__).parent / "files"


SIX = "b15d0341dcbbe49c"


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


def test_shards_that_webdataset_wrote_open(open_shards, tmp_path):
    shutil.copytree(FILES / "webdataset", tmp_path / "shards")
    data = open_shards(tmp_path / "shards")
    assert data.labels.tolist() == [0, 0, 1, 2, 2, 2] and data.classes == ["0", "1", "2"]
    assert data.shards.tolist() == [0, 0, 0, 0, 1, 1] and data.shards.dtype == np.int32
    assert sha256(b"".join(data.encoded(k) for k in range(6))).hexdigest().startswith(SIX)
    assert data.path(4) == "2/0004.jpg" and data.name(0).endswith("webdataset-000000.tar: byte 1536")
    assert data.read(5).shape == (24, 24, 3)


def test_what_is_written_is_read_alike(open_shards, people, write, same, tmp_path):
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


def test_dots_and_percent_signs_in_names_come_back(open_shards, people, write, tmp_path):
    odd = ["ada/m.0x.1 50%.jpg", "bob/%2E.jpg"]
    people.path = lambda k: odd[k] if k < 2 else f"ada/{k}.jpg"
    write(f"webdataset:path={tmp_path / 'shards'}", people)
    data = open_shards(tmp_path / "shards")
    assert [data.path(k).split("/")[-1] for k in range(2)] == ["m.0x.1 50%.jpg", "%2E.jpg"]


def test_images_that_differ_in_their_endings_only_have_keys_of_their_own(open_shards, people, write, tmp_path):
    names = ["1.jpg", "1.png", "1.JPG", "1.png.png", *map("{}.jpg".format, range(4, 8))]
    people.path = lambda k: f"ada/{names[k]}"
    write(f"webdataset:path={tmp_path / 'shards'}", people, 8)
    data = open_shards(tmp_path / "shards")
    assert [data.encoded(k) for k in range(8)] == [people.encoded(k) for k in range(8)]
    assert len({data.path(k) for k in range(8)}) == 8


def test_a_shard_replaced_by_an_older_one_of_its_size_has_its_own_labels(open_shards, people, write, tmp_path):
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


def test_the_index_is_kept_and_made_anew_when_a_shard_changes(open_shards, tmp_path, monkeypatch):
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


def test_an_index_that_points_beyond_its_shard_is_not_believed(open_shards, tmp_path):
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
def test_long_names_and_names_of_any_script_are_read(open_shards, tmp_path, format):
    key = "x" * 200 + "/" + "é東" * 60
    data = open_shards(write_tar(tmp_path / "a.tar", sample(key) + sample("y/y"), format=format))
    assert data.path(0) == f"0/{key}.jpg" and data.path(1) == "0/y/y.jpg"
    assert data.encoded(1) == b"imagey/y"


def test_labels_in_json_are_found_by_their_key(open_shards, tmp_path):
    entries = [("a.jpg", b"1"), ("a.json", b'{"id": 4}'), ("b.jpg", b"2"), ("b.json", b'{"id": "2"}')]
    data = open_shards(write_tar(tmp_path / "a.tar", entries), label="id")
    assert data.classes == ["2", "4"] and data.labels.tolist() == [1, 0] and data.problems.gaps.count == 3
    with pytest.raises(InputError, match=r"'a\.json' holds 'None' under 'label', not a whole number"):
        open_shards(tmp_path / "a.tar")


def test_folders_hidden_files_and_notes_are_no_samples(open_shards, tmp_path):
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
def test_samples_that_cannot_be_told_apart_or_used_are_named_by_their_byte(open_shards, tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        open_shards(write_tar(tmp_path / "a.tar", entries))


def test_one_key_in_two_shards_is_two_samples(open_shards, tmp_path):
    for shard in ("a", "b"):
        write_tar(tmp_path / f"{shard}.tar", sample("1", image=shard.encode()))
    data = open_shards(tmp_path)
    assert [data.encoded(k) for k in range(2)] == [b"a1", b"b1"]
    assert [data.path(k) for k in range(2)] == ["0/000000000.jpg", "0/000000001.jpg"]


def test_links_joined_truncated_and_compressed_tars_are_refused(open_shards, tmp_path):
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


def test_a_shard_that_shrinks_while_it_is_open_is_noticed(open_shards, tmp_path):
    shard = write_tar(tmp_path / "a.tar", sample("a"))
    data = open_shards(shard)
    shard.write_bytes(shard.read_bytes()[:512])
    with pytest.raises(InputError, match=r"had 10,240 bytes and now has 512"):
        data.encoded(0)


def test_the_list_of_shards_must_agree(open_shards, tmp_path):
    write_tar(tmp_path / "a.tar", sample("a"))
    (tmp_path / SHARD_LIST).write_text('{"shardlist": [{"url": "a.tar", "nsamples": 2}]}')
    with pytest.raises(InputError, match=r"a\.tar: 1 samples, datasets_webdataset\.json lists 2"):
        open_shards(tmp_path)


def test_check_drops_what_does_not_decode(open_shards, tmp_path):
    shutil.copytree(FILES / "webdataset", tmp_path / "shards")
    write_tar(tmp_path / "shards" / "z.tar", sample("z", b"7"))
    with pytest.raises(InputError, match=r"unreadable images: 1 \(.*z\.tar: byte 512\)"):
        open_shards(tmp_path / "shards", check=True)
    data = open_shards(tmp_path / "shards", check=True, unreadable="drop", min_images=2)
    assert data.labels.tolist() == [0, 0, 1, 1, 1] and data.classes == ["0", "2"]
    assert data.shards.tolist() == [0, 0, 0, 1, 1] and data.read(4).shape == (24, 24, 3)


def test_patterns_stand_for_files_in_order(open_shards, tmp_path):
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
def test_damage_is_refused_or_does_not_matter(open_shards, tmp_path, data):
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
