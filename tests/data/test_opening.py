import os
import pickle
import shutil

import numpy as np
import pytest

from facezoo.data.convert import Options, convert
from facezoo.data.opening import open_dataset, open_writer
from facezoo.image import encode_jpeg, write_image
from facezoo.registry import WRITERS
from facezoo.types import InputError

OTHER_NAMES = {"rec": "data", "bin": "data.dat", "list": "lists/names", "lmdb": "data.folder", "parquet": "data.shards"}
"""That say nothing of the format."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    for name in ("ada/1.jpg", "ada/2.jpg", "bob/1.jpg"):
        write_image(root / name, rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
    return root


@pytest.mark.parametrize("format", WRITERS.names())
def test_every_format_is_known_by_its_content(source, tmp_path, format):
    path = tmp_path / OTHER_NAMES.get(format, "data")
    convert(open_dataset(str(source)), WRITERS.create(f"{format}:path={path}"))
    assert type(open_dataset(str(path))) is type(
        open_dataset(f"{format}:{'root' if format == 'folder' else 'path'}={path}")
    )


def test_one_file_of_several_is_known_by_its_content(source, tmp_path):
    data = open_dataset(str(source))
    for format in ("webdataset", "parquet", "lmdb", "tfrecord"):
        convert(data, WRITERS.create(f"{format}:path={tmp_path / format}"), Options(part_size=2))
    shard = tmp_path / "webdataset" / "shard-000000.tar"
    for path in (shard, min((tmp_path / "parquet").glob("*.parquet"))):
        assert len(open_dataset(str(path.rename(path.with_name("shard"))))) == 2
    assert len(open_dataset(str(tmp_path / "lmdb" / "data.mdb"))) == 3
    assert len(open_dataset(str(tmp_path / "tfrecord" / "tfrecord.txt"))) == 3
    assert len(open_dataset(str(tmp_path / "tfrecord" / "tfrecord.index"))) == 3
    with pytest.raises(InputError, match="a TFRecord shard has no labels; give its folder or the index"):
        open_dataset(str(tmp_path / "tfrecord" / "tfrecord-00000.tfrecord"))


def test_the_only_file_of_a_folder_is_opened(source, tmp_path):
    convert(open_dataset(str(source)), WRITERS.create(f"rec:path={tmp_path / 'a.rec'}"))
    assert len(open_dataset(str(tmp_path))) == 3
    with pytest.raises(InputError, match=r"a\.idx: is the index of .*a\.rec; give that"):
        open_dataset(str(tmp_path / "a.idx"))
    shutil.copy(tmp_path / "a.rec", tmp_path / "b.rec")
    with pytest.raises(InputError, match=r"holds 2 \.rec files; give one of them"):
        open_dataset(str(tmp_path))
    convert(open_dataset(str(source)), WRITERS.create(f"bin:path={tmp_path / 'a.bin'}"))
    with pytest.raises(InputError, match=r"several formats \(rec, bin\); give a file"):
        open_dataset(str(tmp_path))


def test_a_pattern_of_shards_is_opened_by_its_ending(source, tmp_path):
    convert(open_dataset(str(source)), WRITERS.create(f"webdataset:path={tmp_path / 'x'}"), Options(part_size=1))
    assert len(open_dataset(f"{tmp_path}/x/shard-{{000000..000001}}.tar")) == 2
    with pytest.raises(InputError, match=r"\.zip names no format; known: \.tar, \.parquet"):
        open_dataset("s3://bucket/x.zip")


def test_a_spec_is_a_spec_unless_a_file_has_that_name(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset(f"folder:root={source},min_images=2")) == 2
    image = encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "bin:x").write_bytes(pickle.dumps(([image, image], [True])))
    assert len(open_dataset("bin:x")) == 1


@pytest.mark.parametrize("text", ["nothing", "foldr:root=x"])
def test_what_is_not_there_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=f"{text}: no such file or folder, and no spec: .* folder, "):
        open_dataset(text)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"\x7fELF\0\0\0\0")
    with pytest.raises(InputError, match="of no known format; write name:path="):
        open_dataset(str(tmp_path / "x"))
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(InputError, match="holds no `path label` line"):
        open_dataset(str(tmp_path / "x"))


@pytest.mark.parametrize(
    "text, format",
    [
        ("out", "folder"),
        ("out/", "folder"),
        ("out/train.txt", "list"),
        ("train.REC", "rec"),
        ("lfw.bin", "bin"),
        ("train.lmdb", "lmdb"),
        ("train.parquet", "parquet"),
        ("webdataset:path=out", "webdataset"),
        ("tfrecord:out", "tfrecord"),
    ],
)
def test_an_ending_names_the_format_that_is_written(text, format):
    assert type(open_writer(text)) is WRITERS.factory(format)


def test_an_ending_of_no_format_is_refused():
    with pytest.raises(InputError, match=r"x\.tar: \.tar names no format; known: \.rec, .*; or write format:path="):
        open_writer("x.tar")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder but a pipe or device"):
        open_dataset(str(tmp_path / "pipe"))


def test_of_a_folder_of_saved_splits_one_is_to_be_chosen(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "data-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(InputError, match="holds several datasets; give one of its folders: test, train"):
        open_dataset(str(tmp_path))


def test_a_format_misspelt_in_a_spec_makes_no_folder_of_that_name():
    with pytest.raises(InputError, match=r"'webdatset' is no format; known: .*webdataset"):
        open_writer("webdatset:path=shards")
