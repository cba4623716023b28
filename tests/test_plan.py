"""A plan finds what would stop a run, before the run."""

from __future__ import annotations

import numpy as np
import pytest

from facezoo.config import config_from_dict
from facezoo.image import write_image
from facezoo.plan import describe
from facezoo.types import InputError


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("plan")
    generator = np.random.default_rng(0)
    for person in range(3):
        for k in range(4):
            write_image(root / str(person) / f"{k}.png", generator.integers(0, 256, (32, 32, 3), np.uint8))
    return root


def plan(faces, section=None, key=None, value=None):
    values = {
        "model": {"backbone": "mobilefacenet:embedding_dim=8,width=0.25,input_size=32"},
        "data": {"train": f"folder:root={faces}", "batch_size": 6},
        "validation": {"benchmarks": [f"folder:root={faces},folds=2,aligned=arcface"]},
    }
    if section:
        values[section] = {**values.get(section, {}), key: value}
    return describe(config_from_dict(values))


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("model", "start", "nothing.safetensors", r"nothing\.safetensors: no such file"),
        ("model", "mode", "nothing", "unknown mode"),
        ("model", "loss", "nothing", "unknown loss"),
        ("optim", "groups", ["neck:lr_scale=2"], "names nothing that is trained"),
        ("data", "sampler", "nothing", "unknown sampler"),
        ("data", "sampler", "identities:each=5", "does not divide a batch of 6"),
        ("data", "template", "nothing", "unknown alignment template"),
        ("data", "transforms", ["flipp"], "unknown transform"),
        ("train", "device", "gpu", "device is 'gpu'"),
        ("train", "device", "meta:x", "device is 'meta:x'"),
        ("validation", "benchmarks", ["lfw:root=nowhere"], "no such file"),
        ("validation", "metric", "acuracy", "does not measure 'acuracy', .* one of: accuracy, auc, .*d_prime"),
        ("validation", "metric", "eer", "'eer'"),
    ],
)
def test_what_would_stop_the_run_stops_the_plan(faces, section, key, value, words):
    with pytest.raises(InputError, match=words):
        plan(faces, section, key, value)


def test_a_plan_counts_what_is_trained(faces):
    assert {"identities  3", "steps       40 (2 an epoch) of 6 images"} <= set(plan(faces).splitlines())
    assert "images      12, 12 an epoch by shuffle" in plan(faces).splitlines()
    assert "images      12, 6 an epoch by pairs" in plan(faces, "data", "sampler", "pairs").splitlines()
    assert f"validation  {faces.name}" in plan(faces)
