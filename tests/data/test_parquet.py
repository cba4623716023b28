"""Parquet and Arrow: what `datasets` wrote, what others write, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

FILES = Path(__file__).parent / "files"
SIX = "b15d0341dcbbe49c"
"""Digest of the six pictures, by the script that made them."""


def open_parquet(path, **options):
    return DATASETS.create(f"parquet:path='{path}'", **options)


def write_table(path, columns, metadata=None, **options):
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata), path, **options)
    return path


@pytest.mark.parametrize("name, groups", [("datasets.parquet", [0, 0, 0, 0, 1, 1]), ("datasets", [0, 0, 0, 1, 1, 1])])
def test_what_datasets_wrote_opens_with_its_names(name, groups):
    data = open_parquet(FILES / name)
    assert data.labels.tolist() == [0, 0, 1, 2, 2, 2] and data.classes == ["ada", "bob", "Eve Ä"]
    assert data.shards.tolist() == groups and data.shards.dtype == np.int32
    assert sha256(b"".join(data.encoded(k) for k in range(6))).hexdigest().startswith(SIX)
    assert data.read(5).shape == (24, 24, 3) and data.path(5) == "Eve Ä/000000005.jpg"
    assert data.name(5).endswith("datasets.parquet: row 5" if name == "datasets.parquet" else "00002.arrow: row 2")


@pytest.mark.parametrize("name", ["set", "set.parquet"])
def test_what_is_written_is_read_alike(people, write, same, tmp_path, name):
    write(f"parquet:path={tmp_path / name},rows=2", people)
    data = open_parquet(tmp_path / name)
    assert same(data, people) and [data.path(k) for k in range(8)] == [people.path(k) for k in range(8)]
    assert data.shards.tolist() == [0, 0, 1, 2, 2, 3, 4, 4]
    assert same(pickle.loads(pickle.dumps(data)), people)  # noqa: S301 - our own


def test_the_features_are_noted_as_datasets_looks_for_them(people, write, tmp_path):
    write(f"parquet:path={tmp_path / 'set.parquet'}", people)
    note = json.loads(pq.read_schema(tmp_path / "set.parquet").metadata[b"huggingface"])
    theirs = json.loads(pq.read_schema(FILES / "datasets.parquet").metadata[b"huggingface"])
    theirs["info"]["features"]["label"]["names"] = people.classes
    assert note["info"] == theirs["info"]


def test_plain_bytes_with_labels_of_numbers_or_text(tmp_path):
    numbers = open_parquet(write_table(tmp_path / "a.parquet", {"jpg": [b"1", b"2", b"3"], "id": [7, 2, 7]}))
    assert numbers.labels.tolist() == [1, 0, 1] and numbers.classes == ["2", "7"] and numbers.problems.gaps.count == 6
    assert numbers.encoded(1) == b"2"
    texts = open_parquet(write_table(tmp_path / "b.parquet", {"jpg": [b"1", b"2", b"3"], "who": ["eve", "ada", "eve"]}))
    assert texts.labels.tolist() == [1, 0, 1] and texts.classes == ["ada", "eve"]


@pytest.mark.parametrize("labels", [["bob", "ada", "bob"], [7, 3, 7]])
def test_labels_of_a_dictionary_are_read_as_others(tmp_path, labels):
    """As pandas and polars store categories."""
    column = pa.array(labels).dictionary_encode()
    write_table(tmp_path / "a.parquet", {"image": [b"x", b"y", b"z"], "label": column})
    data = open_parquet(tmp_path / "a.parquet")
    assert [data.classes[label] for label in data.labels] == [str(label) for label in labels]
    write_table(tmp_path / "b.parquet", {"image": [b"x", b"y"], "label": pa.array(["a", None]).dictionary_encode()})
    with pytest.raises(InputError, match="row 1: no label"):
        open_parquet(tmp_path / "b.parquet")


def test_columns_are_chosen_by_option_where_several_could_be_meant(tmp_path):
    path = write_table(tmp_path / "a.parquet", {"jpg": [b"1"], "raw": [b"2"], "id": [1], "age": [30]})
    with pytest.raises(InputError, match=r"several columns may hold the image: jpg \(binary\).*write image=COLUMN"):
        open_parquet(path)
    with pytest.raises(InputError, match=r"several columns may hold the label"):
        open_parquet(path, image="jpg")
    with pytest.raises(InputError, match=r"column 'jpg' cannot hold the label"):
        open_parquet(path, image="jpg", label="jpg")
    data = open_parquet(path, image="raw", label="id")
    assert data.encoded(0) == b"2" and data.classes == ["1"]


@pytest.mark.parametrize(
    "columns, metadata, message",
    [
        ({"jpg": [b"1", b"2"], "id": [0, None]}, None, r"row 1: no id"),
        ({"jpg": [b"1"], "id": [-1]}, None, r"row 0: label -1, they begin at 0"),
        ({"id": [1]}, None, r"no column can hold the image: id \(int64\)"),
        ({"jpg": [b"1"]}, None, r"no column can hold the label"),
        ({"jpg": [b"1"], "id": [0]}, {"huggingface": "{"}, r"the note of `datasets`"),
        ({"jpg": [b"1"], "id": [0]}, {"huggingface": '{"info": []}'}, r"the note of `datasets`"),
        (
            {"jpg": [b"1"], "id": [3]},
            {"huggingface": '{"info": {"features": {"id": {"_type": "ClassLabel", "names": ["a"]}}}}'},
            r"label 3 has no name, the file has 1 names",
        ),
        (
            {"jpg": [b"1"], "id": [0]},
            {"huggingface": '{"info": {"features": {"id": {"_type": "ClassLabel", "names": "abc"}}}}'},
            r"are no list of texts",
        ),
        ({"jpg": pa.array([], pa.binary()), "id": pa.array([], pa.int64())}, None, r"no image is left"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path, columns, metadata, message):
    with pytest.raises(InputError, match=message):
        open_parquet(write_table(tmp_path / "a.parquet", columns, metadata))


def test_a_row_without_its_image_is_named(tmp_path):
    image = pa.array([{"bytes": b"1", "path": "a"}, {"bytes": None, "path": "b"}])
    data = open_parquet(write_table(tmp_path / "a.parquet", {"image": image, "label": [0, 0]}))
    with pytest.raises(InputError, match=r"a\.parquet: row 1: no image in the row"):
        data.encoded(1)


def test_files_of_other_columns_are_refused(tmp_path):
    write_table(tmp_path / "a.parquet", {"jpg": [b"1"], "id": [0]})
    write_table(tmp_path / "b.parquet", {"png": [b"1"], "id": [0]})
    with pytest.raises(InputError, match=r"b\.parquet: column 'jpg' cannot hold the image"):
        open_parquet(tmp_path)


def test_a_folder_is_looked_into_where_the_files_lie_one_below_as_on_the_hub(tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / ".hidden.parquet").write_bytes(b"no")
    shutil.copy(FILES / "datasets.parquet", tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    assert len(open_parquet(tmp_path / "set")) == len(open_parquet(tmp_path / "set" / "data" / "*.parquet")) == 6
    shutil.copytree(tmp_path / "set" / "data", tmp_path / "set" / "test")
    with pytest.raises(InputError, match=r"files lie in 2 folders of it: .*data, .*test.*; give one of them"):
        open_parquet(tmp_path / "set")


def test_paths_that_lead_elsewhere_are_refused(people, write, tmp_path):
    people.path = lambda k: f"../{k}.jpg"
    write(f"parquet:path={tmp_path / 'set.parquet'}", people)
    data = open_parquet(tmp_path / "set.parquet")
    with pytest.raises(InputError, match="not a plain path"):
        data.path(0)


def test_row_groups_too_large_to_read_whole_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("facezoo.data.tables.MAX_GROUP_BYTES", 1000)
    with pytest.raises(InputError, match=r"a row group of [\d,]+ bytes, 1,000 are read; write it anew"):
        open_parquet(FILES / "datasets.parquet")


def test_row_groups_are_kept_up_to_the_memory_that_is_given(people, write, same, tmp_path):
    write(f"parquet:path={tmp_path / 'set.parquet'},rows=2", people)
    data = open_parquet(tmp_path / "set.parquet", memory_mb=0)
    assert same(data, people) and len(data._process._groups) == 1
    data = open_parquet(tmp_path / "set.parquet")
    assert same(data, people) and len(data._process._groups) == 5


def read_one(data, results):
    results.put(data.encoded(7))


def test_threads_and_forked_processes_read_alike(people, write, tmp_path):
    write(f"parquet:path={tmp_path / 'set.parquet'},rows=2", people)
    data = open_parquet(tmp_path / "set.parquet", memory_mb=0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(data.encoded, list(range(8)) * 20))
    assert found == [people.encoded(k) for k in range(8)] * 20
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    other = context.Process(target=read_one, args=(data, results))
    other.start()
    assert results.get(timeout=60) == people.encoded(7) == data.encoded(7)
    other.join()


def test_behind_a_url_and_from_a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/set/a.parquet", (FILES / "datasets.parquet").read_bytes())
    memory.pipe_file("/arrow/a.arrow", (FILES / "datasets" / "data-00000-of-00002.arrow").read_bytes())
    try:
        for options in ({}, {"cache": tmp_path / "near"}):
            data = open_parquet("memory://set", **options)
            assert sha256(b"".join(data.encoded(k) for k in range(6))).hexdigest().startswith(SIX)
        with pytest.raises(InputError, match="Arrow files are read on this machine only"):
            open_parquet("memory://arrow")
    finally:
        memory.rm("/set", recursive=True)
        memory.rm("/arrow", recursive=True)


def test_check_drops_what_does_not_decode(tmp_path):
    shutil.copy(FILES / "datasets.parquet", tmp_path)
    images = [{"bytes": b"no image", "path": None}, *pq.read_table(FILES / "datasets.parquet")["image"].to_pylist()]
    path = write_table(tmp_path / "a.parquet", {"image": images, "label": [9, 0, 0, 1, 2, 2, 2]}, row_group_size=2)
    data = open_parquet(path, check=True, unreadable="drop", min_images=2)
    assert data.labels.tolist() == [0, 0, 1, 1, 1] and data.classes == ["0", "2"]
    assert data.shards.tolist() == [0, 1, 2, 2, 3] and data.name(4).endswith("row 6")
    assert data.encoded(4) == images[6]["bytes"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize("name", ["datasets.parquet", "datasets/data-00000-of-00002.arrow"])
def test_damage_is_refused_or_does_not_matter(tmp_path, name, data):
    whole = bytearray((FILES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole))) :]
    path = tmp_path / f"x{Path(name).suffix}"
    path.unlink(missing_ok=True)  # a mapped file must not shrink
    path.write_bytes(whole)
    try:
        opened = open_parquet(path)
        for k in range(len(opened)):
            assert len(opened.encoded(k)) < len(whole)
    except InputError as error:
        assert "\n" not in str(error)


def test_options_that_mean_nothing_are_refused(tmp_path):
    for rows in (0, -3):
        with pytest.raises(InputError, match="rows in a group, there must be 1 or more"):
            WRITERS.create(f"parquet:path={tmp_path / 'x.parquet'},rows={rows}")
    with pytest.raises(InputError, match="memory_mb is -5, it must be 0 or more"):
        DATASETS.create(f"parquet:path={tmp_path / 'x.parquet'},memory_mb=-5")
