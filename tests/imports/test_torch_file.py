"""Files of torch.save in both formats give the tensors that went in."""

import random
import zipfile

import pytest
import torch
from torch import nn

from facezoo.imports.source import read_source
from facezoo.imports.torch_file import read_torch
from facezoo.types import InputError

FORMATS = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def save(value, path, legacy):
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)


@FORMATS
def test_tensors_come_back(tmp_path, legacy):
    flat = torch.arange(24.0)
    state = {
        "plain": torch.randn(2, 3),
        "double": torch.randn(3).double(),
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(3).bfloat16(),
        "counter": torch.tensor(7),
        "bytes": torch.tensor([1, 2], dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "view": flat[4:10].view(2, 3),
        "turned": flat.view(4, 6).T,
        "same storage": flat,
        "empty": torch.empty(0, 3),
        "parameter": nn.Parameter(torch.randn(4)),
    }
    save({"state_dict": state, "epoch": 3}, tmp_path / "file.pt", legacy)
    made = read_torch(tmp_path / "file.pt")
    assert made["epoch"] == 3
    for name, tensor in state.items():
        read = made["state_dict"][name].read()
        assert read.dtype == tensor.dtype and read.shape == tensor.shape == made["state_dict"][name].shape
        assert torch.equal(read, tensor), name


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4))
        self.tied = self.body[0]


@FORMATS
@pytest.mark.filterwarnings("ignore")  # torch warns of the sources of classes
def test_a_whole_module_is_its_state_dict(tmp_path, legacy):
    net = nn.DataParallel(Net())
    save({"epoch": 1, "model": net}, tmp_path / "file.pkl", legacy)
    source = read_source(tmp_path / "file.pkl")
    wanted = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    assert set(source.tensors) == set(wanted)
    assert all(torch.equal(source.tensors[name].read(), wanted[name]) for name in wanted)


def test_optimizer_states_are_not_tensors_of_the_network(tmp_path):
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net.body(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "file.pt", False)
    assert all(name.startswith("net.") for name in read_source(tmp_path / "file.pt").tensors)


@FORMATS
def test_a_damaged_file_is_one_sentence_whatever_the_damage(tmp_path, legacy):
    path = tmp_path / "file.pt"
    save({"state_dict": Net().state_dict(), "epoch": 3}, path, legacy)
    data = path.read_bytes()
    chance = random.Random(0)
    for _ in range(150):
        broken = bytearray(data)
        if chance.random() < 0.3:
            del broken[chance.randrange(len(broken)) :]
        for _ in range(chance.randrange(1, 6)):
            if broken:
                broken[chance.randrange(len(broken))] = chance.randrange(256)
        path.write_bytes(broken)
        try:
            for tensor in read_source(path).tensors.values():
                tensor.read()
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def rewritten(path, target, change=lambda name, data: data, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w", compression) as out:
        for info in archive.infolist():
            data = change(info.filename, archive.read(info))
            if data is not None:
                out.writestr(info.filename, data)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda name, data: data[:-4] if "/data/" in name else data, "missing or not of 24 bytes"),
        (lambda name, data: None if "/data/" in name else data, "missing or not of 24 bytes"),
        (lambda name, data: None if name.endswith("data.pkl") else data, "not one of torch.save"),
        (lambda name, data: b"big" if name.endswith("byteorder") else data, "big-endian"),
    ],
)
def test_an_archive_that_lacks_something_is_refused(tmp_path, change, says):
    torch.save({"weight": torch.ones(2, 3)}, tmp_path / "good.pt")
    rewritten(tmp_path / "good.pt", tmp_path / "bad.pt", change)
    with pytest.raises(InputError, match=says):
        read_torch(tmp_path / "bad.pt")["weight"].read()


def test_a_compressed_archive_is_refused_before_it_unfolds(tmp_path):
    torch.save({"weight": torch.zeros(1000, 1000)}, tmp_path / "good.pt")
    rewritten(tmp_path / "good.pt", tmp_path / "bad.pt", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed"):
        read_torch(tmp_path / "bad.pt")


@FORMATS
def test_a_tensor_that_grows_beyond_its_storage_is_refused(tmp_path, legacy):
    save({"weight": torch.ones(1).expand(1000, 1000)}, tmp_path / "file.pt", legacy)
    with pytest.raises(InputError, match="beyond its storage"):
        read_torch(tmp_path / "file.pt")


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "not a readable pickle"), (b"hello", "not a readable pickle"), (b"\x80\x02K\x01.", "not one of torch.save")],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, says):
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_source(tmp_path / "file.pt")


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_source(tmp_path / "file.pt")
    with pytest.raises(InputError, match="is not a file"):
        read_source(tmp_path)
