"""One rank, two and three give the same losses, gradients and state, with any distillation loss."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facezoo.registry import DISTILLATION_LOSSES

SCRIPT = Path(__file__).parent / "ranks.py"
SPEC = importlib.util.spec_from_file_location("facezoo_test_distillation_ranks", SCRIPT)
ranks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ranks)

CASES = [*DISTILLATION_LOSSES.names(), "fitnet:adapter=true", "nst:kernel=gaussian", "ekd@tface:hardest=3"]
CASES += ["cosine:centred=true", "rkd:angle=0", "soft_target:temperature=1"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Results by number of ranks: all losses in one go."""
    folder = tmp_path_factory.mktemp("ranks")
    everything = {1: {case: ranks.results(case) for case in CASES}}
    for count in (2, 3):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        tokens = [SCRIPT, json.dumps(CASES), folder / f"{count}.pt"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*command, *map(str, tokens)], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-4000:]
        everything[count] = torch.load(folder / f"{count}.pt", weights_only=True)
    return everything


@pytest.mark.parametrize("case", CASES)
def test_any_number_of_ranks_gives_the_same(found, case):
    alone = found[1][case]
    assert all(torch.isfinite(value).all() for values in alone.values() for value in values)
    for count in (2, 3):
        together = found[count][case]
        assert set(together) == set(alone)
        for name, values in alone.items():
            for value, other in zip(values, together[name], strict=True):
                torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
