"""One rank, two and three give the same losses, gradients and state, with any head and embedding loss."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facezoo import distributed
from facezoo.registry import EMBEDDING_LOSSES, HEADS, LOSSES

SCRIPT = Path(__file__).parent / "ranks.py"
SPEC = importlib.util.spec_from_file_location("facezoo_test_ranks", SCRIPT)
ranks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ranks)

# A sample is random and each rank draws its own; with so small a share it is the batch's own classes on every rank.
SAMPLED = {"sample_rate": 0.01, "accumulate": 2, "start": 1}

# Two sets with classes of their own, that part neither where two ranks nor where three do.
SPACES = [0] * 5 + [1] * 8

CASES = [
    *([name, "cross_entropy", {}] for name in HEADS.names()),
    *(["cosface:scale=8", name, {}] for name in LOSSES.names()),
    *([spec, "cross_entropy", {}] for spec in ("softmax:bias=true", "normface:learn_scale=true", "magface@facexzoo")),
    *([spec, "cross_entropy", {}] for spec in ("arcface@insightface", "curricularface:alpha=0.5", "sphereface:base=9")),
    *([name, "cross_entropy", {"sub_centres": 3}] for name in ("arcface", "mvsoftmax", "cifp")),
    *([spec, "cross_entropy", {}] for spec in ("elasticarc@plus", "elasticcos@plus", "cifp:far=0.2,scale=2")),
    *([name, "cross_entropy", SAMPLED] for name in HEADS.names()),
    *(["cosface:scale=8", name, SAMPLED] for name in LOSSES.names()),
    *([spec, "cross_entropy", SAMPLED] for spec in ("softmax:bias=true", "normface:learn_scale=true", "cifp:far=0.2")),
    *([name, "cross_entropy", {**SAMPLED, "sub_centres": 3}] for name in ("arcface", "curricularface")),
    *([name, "cross_entropy", {"accumulate": 2}] for name in ("arcface", "adacos", "adamsoftmax", "sphereface")),
    *(["prototype", margin] for margin in ("cosface:scale=8", "mvsoftmax:scale=8")),
    *([name, "cross_entropy", {"spaces": SPACES}] for name in HEADS.names()),
    *(["cosface:scale=8", name, {"spaces": SPACES}] for name in LOSSES.names()),
    *([name, "label_smoothing", {**SAMPLED, "spaces": SPACES}] for name in ("arcface", "curricularface")),
    ["ddl"],
    ["scf"],
    *([name] for name in EMBEDDING_LOSSES.names()),
    *([spec] for spec in ("triplet@facexzoo", "triplet@tface", "batch_hard@tface", "contrastive:mining=hard")),
]


def torchrun(count: int, *tokens: object) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *map(str, tokens)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Results by number of ranks: all heads in one go."""
    folder = tmp_path_factory.mktemp("ranks")
    everything = {1: {str(case): ranks.results_of(case) for case in CASES}}
    for count in (2, 3):
        torchrun(count, SCRIPT, json.dumps(CASES), folder / f"{count}.pt")
        everything[count] = torch.load(folder / f"{count}.pt", weights_only=True)
    return everything


def test_every_rank_has_classes_of_every_sampled_batch():
    """Else it would sample one at random, and the sampled cases could not be alike."""
    for count in (2, 3):
        own = [distributed.bounds(ranks.CLASSES, count, rank) for rank in range(count)]
        for step in range(SAMPLED["start"], SAMPLED["start"] + SAMPLED["accumulate"] * ranks.STEPS):
            labels = ranks.batch(step)[1]
            assert all(((labels >= first) & (labels < last)).any() for first, last in own)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_number_of_ranks_gives_the_same(found, case):
    alone = found[1][str(case)]
    for count in (2, 3):
        together = found[count][str(case)]
        assert set(together) == set(alone)
        for name, values in alone.items():
            for value, other in zip(values, together[name], strict=True):
                torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
