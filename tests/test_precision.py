from __future__ import annotations

import logging
import platform
import subprocess
import sys

import pytest
import torch

from facezoo import precision
from facezoo.config import config_from_dict
from facezoo.data.synthetic import write_faces
from facezoo.dry_run import dry_run
from facezoo.train import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch):
    """Sets what the processor can do."""

    def can(*names: str) -> None:
        monkeypatch.setattr(precision, "_capabilities", lambda: {"avx2": True, **dict.fromkeys(names, True)})

    can()
    return can


@pytest.fixture
def settings(tmp_path):
    write_faces(tmp_path / "faces", 6, 4, size=32)

    def made(amp: str, **train):
        sections = {
            "model": {"backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=32", "head": "cosface:scale=8"},
            "data": {"train": f"folder:root={tmp_path / 'faces'}", "batch_size": 8},
            "train": {"amp": amp, "epochs": 2, "device": "cpu", **train},
        }
        return config_from_dict(sections)

    return made


@pytest.mark.parametrize("instruction", ["avx512_bf16", "amx_bf16"])
def test_auto_is_bf16_where_the_processor_has_instructions_for_it(processor, instruction):
    assert precision.find_precision("auto", CPU) == "off"

    processor(instruction)

    assert precision.find_precision("auto", CPU) == "bf16"


def test_auto_asks_a_gpu_whether_it_emulates(monkeypatch):
    asked = {}
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **given: asked.update(given) or False)

    assert precision.find_precision("auto", torch.device("cuda")) == "off"
    assert asked == {"including_emulation": False}


@pytest.mark.parametrize(
    ("amp", "instruction"), [("bf16", "avx512_bf16"), ("bf16", "amx_bf16"), ("fp16", "avx512_fp16")]
)
def test_a_type_the_processor_computes_in_pieces_is_told(processor, settings, tmp_path, caplog, amp, instruction):
    with caplog.at_level(logging.WARNING):
        found = dry_run(settings(amp))
        Trainer(settings(amp), tmp_path / "run").folder.close()
    assert [f"train.amp is {amp}" in record.message for record in caplog.records] == [True, True]
    assert found.rows["precision"].endswith("autocast")  # it is what was asked for

    caplog.clear()
    processor(instruction)
    dry_run(settings(amp))
    assert not caplog.records


def test_auto_trains_as_what_it_stands_for(processor, settings, tmp_path):
    def trained(amp: str, folder: str) -> bytes:
        Trainer(settings(amp, epochs=1), tmp_path / folder).run()
        return (tmp_path / folder / "state" / "last.pt").read_bytes()

    assert trained("auto", "a") == trained("off", "b")
    assert dry_run(settings("auto")).rows["precision"] == "float32"

    processor("amx_bf16")
    assert trained("auto", "c") == trained("bf16", "d")
    assert dry_run(settings("auto")).rows["precision"] == "bfloat16 autocast"


def test_a_run_that_goes_on_in_another_type_says_so(processor, settings, tmp_path, monkeypatch, caplog):
    processor("amx_bf16")
    first = Trainer(settings("auto"), tmp_path / "run")
    first._step(first._batches())
    first.step = 1
    first._save()
    first.folder.close()
    processor()

    second = Trainer(settings("auto"), tmp_path / "run")
    second.folder.close()

    assert "was in bf16 so far and goes on in off" in caplog.text


def test_memory_is_counted_in_the_type_that_is_computed_in(processor, settings):
    alone = dry_run(settings("auto")).rows["memory"]
    processor("avx512_bf16")

    assert dry_run(settings("auto")).rows["memory"] == dry_run(settings("bf16")).rows["memory"] != alone


FAULTS = """
import resource, torch
from facezoo.heap import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(64 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with kept_memory():
    faults()
    kept = faults()
print(kept, faults())
"""
"""Pages that the system gives for 20 arrays of 64 MiB; in a process whose heap has no history."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to keep what is freed")
def test_freed_memory_is_handed_out_again_while_it_is_kept():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, given_back = map(int, done.stdout.split())

    assert 10 * kept < given_back
