"""Whatever a pickle asks for, nothing of it is done."""

import io
import os
import pickle
import struct
from collections import OrderedDict

import pytest
import torch

from facezoo.imports.pickles import Made, Name, read_pickle
from facezoo.imports.torch_file import read_torch
from facezoo.types import InputError


def read(data: bytes):
    return read_pickle(io.BytesIO(data), "file")


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_come_back(protocol):
    value = OrderedDict(a=[1, -2, 2**70, 1.5, None, True, "é"], b={"c": (1, (2, 3), ())}, d={})
    assert read(pickle.dumps(value, protocol)) == dict(value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, os.mkdir, exec, eval, __import__, torch.load, getattr])
def test_a_call_is_recorded_and_not_made(protocol, function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = read(pickle.dumps({"weights": Calls(function, "mkdir done")}, protocol))["weights"]
    assert isinstance(made, Made) and made.name.endswith(function.__name__) and made.args == ("mkdir done",)
    assert not list(tmp_path.iterdir())


ATTACKS = {
    "inst": b"(S'mkdir done'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'mkdir done'\no.",
    "class state": b"ccollections\nOrderedDict\n(dS'__reduce__'\ncos\nsystem\nsb.",
    "state of a function": b"cos\nsystem\n(dS'x'\nI1\nsb.",
    "a call of a call": b"cbuiltins\ngetattr\n(cos\nS'system'\ntR(S'mkdir done'\ntR.",
    "newobj": b"\x80\x02cos\nsystem\nU\x0amkdir done\x85\x81.",
    "a dotted name": b"\x80\x04\x8c\x02os\x8c\x0bpath.system\x93\x8c\x01a\x85R.",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_old_and_rare_ways_to_call_are_inert(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(read(ATTACKS[name]), Made | Name)
    assert not list(tmp_path.iterdir())


def test_a_call_inside_a_torch_file_is_not_made(tmp_path):
    target = tmp_path / "done"
    for legacy in (False, True):
        path = tmp_path / "file.pt"
        state = {"a.weight": torch.ones(2), "bomb": Calls(os.mkdir, str(target))}
        torch.save(state, path, _use_new_zipfile_serialization=not legacy)
        assert list(read_torch(path)) == ["a.weight", "bomb"]
        assert not target.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02K\x01",
        b"\x80\x02h\x05.",
        b"\x80\x02u.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02}K\x01s.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",  # bytes of an exabyte
        b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"x.",
        b"\x80\x02}]K\x01s.",  # a list as key
        b"\x80\x02\x82\x01.",  # an extension
        b"\x80\x05\x97.",  # a buffer from outside
        b"not a pickle",
    ],
)
def test_a_damaged_pickle_is_one_sentence(data):
    try:
        read(data)
    except InputError as error:
        assert str(error).startswith("file: ") and "\n" not in str(error)


def test_a_place_in_the_memo_takes_no_memory():
    assert read(b"\x80\x02K\x07r\xff\xff\xff\x7f.") == 7


def test_what_is_shared_a_thousand_fold_is_made_once(tmp_path):
    value = [torch.ones(1)]
    for _ in range(100):
        value = [value, value]
    path = tmp_path / "file.pt"
    torch.save(value, path)
    assert len(read_torch(path)) == 2


def test_what_is_nested_too_deep_is_refused(tmp_path):
    value = {"a": torch.ones(1)}
    for _ in range(300):
        value = {"b": value}
    path = tmp_path / "file.pt"
    torch.save(value, path)
    with pytest.raises(InputError, match="nested more than 200 deep"):
        read_torch(path)
