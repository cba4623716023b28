import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facezoo.data.convert import Options, convert
from facezoo.data.manifest import read_manifest, verify
from facezoo.data.opening import open_dataset, open_writer
from facezoo.data.recode import Recoding
from facezoo.data.staging import Staging
from facezoo.image import write_image
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

ENDINGS = {"rec": ".rec", "list": "/train.txt", "bin": ".bin"}
FORMATS = [name for name in WRITERS.names() if WRITERS.factory(name).complete]
WITHOUT_PATHS = {"rec", "lmdb"}


def place(folder, format):
    return folder / f"{format}{ENDINGS.get(format, '')}"


def writer_of(folder, format):
    return WRITERS.create(f"{format}:path={place(folder, format)}")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four people in another order than that of their names, JPEG and PNG, names with blanks and of another script."""
    root = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    for name in ("zoë/1.jpg", "zoë/a b.png", "ada/1.jpg", "ada/deep/2.jpg", "50%/x.y.jpg", "東/1.png", "東/10.jpg"):
        write_image(root / name, rng.integers(256, size=(16, 12, 3), dtype=np.uint8))
    (root / "classes.txt").write_text("zoë\nada\n50%\n東\n", encoding="utf-8")
    return root


def content(data):
    """(class, bytes) of every sample, in order."""
    return [(data.classes[label], data.encoded(i)) for i, label in enumerate(data.labels)]


def tree(folder):
    """All files below a folder with their bytes; indices that readers keep for themselves hold times, and go."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "index.index")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("by", FORMATS)
def test_every_format_holds_the_same_data_as_every_other(source, tmp_path, by, to):
    data = open_dataset(str(source))
    first = convert(data, writer_of(tmp_path, by), Options(part_size=4))
    between = open_dataset(str(first.path))
    (tmp_path / "out").mkdir()
    second = convert(between, writer_of(tmp_path / "out", to))
    result = open_dataset(str(second.path))

    assert content(result) == content(between) == content(data)
    assert result.classes == data.classes == ["zoë", "ada", "50%", "東"]
    np.testing.assert_array_equal(result.labels, data.labels)
    np.testing.assert_array_equal(result.read(1), data.read(1))
    assert first.manifest.digest == second.manifest.digest and first.manifest.images == 7
    assert verify(second.path).digest == first.manifest.digest
    if not WITHOUT_PATHS & {by, to}:
        assert [result.path(i) for i in range(7)] == [data.path(i) for i in range(7)]
