"""LMDB: a database of lmdb and msgpack, ours, and what is refused."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import lmdb
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.registry import DATASETS
from facezoo.types import InputError

FILES = Path(__file__).parent / "files"
SIX = "b15d0341dcbbe49c"
"""Digest of the six pictures, by the script that made them."""


@pytest.fixture
def six(tmp_path):
    return Path(shutil.copy(FILES / "msgpack.lmdb", tmp_path))


def open_lmdb(path, **options):
    return DATASETS.create(f"lmdb:path={path}", **options)


def put(path, values):
    environment = lmdb.open(str(path), subdir=False, map_size=1 << 22, lock=False)
    with environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return path


def database(path, pairs, **special):
    values = {str(k): msgpack.packb(pair) for k, pair in enumerate(pairs)}
    special = {"len": len(pairs), **special}
    return put(path, values | {f"__{key}__": msgpack.packb(value) for key, value in special.items()})


def test_what_lmdb_and_msgpack_wrote_opens(six):
    data = open_lmdb(six)
    assert data.labels.tolist() == [0, 0, 1, 2, 2, 2] and data.classes == ["0", "1", "2"] and data.shards is None
    assert sha256(b"".join(data.encoded(k) for k in range(6))).hexdigest().startswith(SIX)
    assert data.read(5).shape == (24, 24, 3) and data.name(4) == f"{six}: key 4" and data.path(4) == "2/000000004.jpg"


@pytest.mark.parametrize("name, file", [("set.lmdb", "set.lmdb"), ("set", "set/data.mdb")])
def test_what_is_written_is_read_alike(people, write, same, tmp_path, name, file):
    files = write(f"lmdb:path={tmp_path / name}", people)
    assert files[0] == tmp_path / file and same(open_lmdb(tmp_path / name), people)
    with lmdb.open(str(files[0]), subdir=False, readonly=True, lock=False) as environment, environment.begin() as found:
        assert msgpack.unpackb(found.get(b"__keys__"), raw=True) == [str(k).encode() for k in range(8)]
        assert [msgpack.unpackb(found.get(key)) for key in (b"__len__", b"__classnum__")] == [8, 3]


def test_the_same_samples_give_the_same_bytes(people, write, tmp_path):
    first = write(f"lmdb:path={tmp_path / 'a.lmdb'}", people)[0].read_bytes()
    assert write(f"lmdb:path={tmp_path / 'b.lmdb'}", people)[0].read_bytes() == first


def test_labels_are_kept_beside_the_file_and_read_anew_when_it_changes(tmp_path):
    path = database(tmp_path / "a.lmdb", [(b"x", 0)])
    assert len(open_lmdb(path)) == 1 and (tmp_path / "a.lmdb.index").exists()
    path.unlink()
    database(path, [(b"x", 0), (b"y", 4)])
    data = open_lmdb(path)
    assert data.labels.tolist() == [0, 1] and data.classes == ["0", "4"] and data.problems.gaps.count == 3


def read_two(first, second, results):
    results.put([first.encoded(3), second.encoded(4)])


def test_two_readers_threads_and_forked_processes_read_one_file(six):
    first, second = open_lmdb(six), open_lmdb(six)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(first.encoded, list(range(6)) * 20))
    assert found == [second.encoded(k) for k in range(6)] * 20
    elsewhere = [pickle.loads(pickle.dumps(first)) for _ in range(8)]  # noqa: S301 - our own
    del first, second
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: data.encoded(3), elsewhere)) == [found[3]] * 8
    first, second = elsewhere[:2]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    other = context.Process(target=read_two, args=(first, second, results))
    other.start()
    assert results.get(timeout=60) == [first.encoded(3), first.encoded(4)]
    other.join()
    assert pickle.loads(pickle.dumps(first)).encoded(3) == first.encoded(3)  # noqa: S301 - our own


@pytest.mark.parametrize(
    "pairs, special, message",
    [
        ([(b"x", 0)], {"len": 5}, r"__len__ holds 5, not the number of samples \(2 keys are there\)"),
        ([(b"x", 0)], {"len": b"1"}, r"__len__ holds b'1', not the number"),
        ([(b"x", 3)], {"classnum": 3}, r"key 0: label 3, __classnum__ is 3"),
        ([(b"x", 0), (b"y", -1)], {}, r"key 1: the value is not a pair"),
        ([(b"x", True)], {}, r"key 0: the value is not a pair"),
        ([(b"x", 1 << 40)], {}, r"key 0: the value is not a pair"),
        ([b"x"], {}, r"key 0: the value is not a pair"),
        ([(b"x", 0)], {"len": 2, "other": 0}, r"key 1: the value is missing"),
    ],
)
def test_values_of_another_kind_are_named_by_their_key(tmp_path, pairs, special, message):
    with pytest.raises(InputError, match=message):
        open_lmdb(database(tmp_path / "a.lmdb", pairs, **special))


def test_a_database_of_other_keys_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"__len__ holds nothing.*only databases with keys 0, 1"):
        open_lmdb(put(tmp_path / "a.lmdb", {"name": b"x"}))


def test_files_that_are_missing_truncated_or_no_database_are_refused(six, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_lmdb(tmp_path / "no.lmdb")
    whole = six.read_bytes()
    for size, message in (
        (0, "not an LMDB"),
        (100, "not an LMDB"),
        (5000, r"truncated"),
        (len(whole) - 1, "truncated"),
    ):
        (tmp_path / "cut.lmdb").write_bytes(whole[:size])
        with pytest.raises(InputError, match=message):
            open_lmdb(tmp_path / "cut.lmdb")
    (tmp_path / "text.lmdb").write_bytes(b"x" * 20000)
    with pytest.raises(InputError, match="not an LMDB database of format 1"):
        open_lmdb(tmp_path / "text.lmdb")


def test_check_drops_what_does_not_decode(six):
    put(six, {"1": msgpack.packb((b"no image", 0))})
    with pytest.raises(InputError, match=r"unreadable images: 1 \(.*key 1\)"):
        open_lmdb(six, check=True)
    data = open_lmdb(six, check=True, unreadable="drop", min_images=2)
    assert data.labels.tolist() == [0, 0, 0] and data.classes == ["2"] and data.name(0).endswith("key 3")
    assert data.read(2).shape == (24, 24, 3)


OPEN_DAMAGED = """
import os, sys
import numpy as np
from facezoo.registry import DATASETS
from facezoo.types import InputError

path, whole = sys.argv[1], np.fromfile(sys.argv[1], np.uint8)
rng = np.random.default_rng(0)
page = len(whole) // 4096
leaves = [k for k in range(2, page) if whole[4096 * k + 10 : 4096 * k + 12].tolist() == [2, 0]]
DATASETS.names()
for damage in range(60):
    child = os.fork()
    if not child:
        broken = whole.copy()
        leaf = 4096 * int(rng.choice(leaves))
        nodes = whole[leaf + 16 : leaf + int(whole[leaf + 12 : leaf + 14].view("<u2")[0])].view("<u2").tolist()
        node = leaf + int(rng.choice(nodes))
        if damage % 3 == 0:  # the length of a value, or of its key
            broken[node + int(rng.choice([2, 3, 6, 7]))] = 255
        elif damage % 3 == 1:  # where a node is
            broken[leaf + 16 + int(rng.integers(2 * len(nodes)))] = rng.integers(256)
        else:
            # Heads of pages and their ends, where nodes are.
            place = 4096 * rng.integers(2, page) + rng.choice([rng.integers(40), rng.integers(4056, 4096)])
            broken[place] = rng.integers(256)
        broken.tofile(f"{path}.{damage}.lmdb")
        try:
            data = DATASETS.create(f"lmdb:path={path}.{damage}.lmdb")
            [data.encoded(k) for k in range(len(data))]
        except InputError:
            os._exit(3)
        os._exit(0)
    rng = np.random.default_rng(damage + 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_damage_of_the_tree_is_refused_or_does_not_matter_and_never_ends_the_process(tmp_path):
    """A tree of two levels, with short values within its pages and long ones on pages of their own."""
    pairs = [(b"i" * (20 if k % 3 else 6000), k % 7) for k in range(300)]
    path = database(tmp_path / "a.lmdb", pairs)
    assert len(open_lmdb(path)) == 300
    found = subprocess.run([sys.executable, "-c", OPEN_DAMAGED, path], capture_output=True, text=True, check=True)
    ends = [int(line) for line in found.stdout.split()]
    assert set(ends) == {0, 3} and ends.count(3) > 10


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_values_are_refused_or_do_not_matter(tmp_path, data):
    value = bytearray(msgpack.packb((b"image" * 10, 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    del value[data.draw(st.integers(0, len(value))) :]
    (tmp_path / "x.lmdb").unlink(missing_ok=True)
    put(tmp_path / "x.lmdb", {"0": bytes(value), "__len__": msgpack.packb(1)})
    try:
        assert len(open_lmdb(tmp_path / "x.lmdb").encoded(0)) < 60
    except InputError as error:
        assert "\n" not in str(error)
