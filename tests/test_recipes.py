"""Every recipe loads, and everything that it names is built, without its data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from facezoo.config import config_from_dict, load_config
from facezoo.dry_run import dry_run
from facezoo.files import read_toml
from facezoo.image import write_image
from facezoo.recipes import FOLDER, find_recipe, recipes
from facezoo.train import Trainer
from facezoo.types import InputError

OURS = ("facexzoo_mobilefacenet_arcface", "mobilefacenet_arcface_15min_cpu", "mobilefacenet_distilled_30min_cpu")
"""Recipes with numbers of our own; all others have those that their projects published."""


TINY = "mobilefacenet:embedding_dim=8,width=0.1,input_size=32"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Overrides of a recipe that learns from a teacher: a tiny run as the teacher, on tiny data, for a tiny student."""
    root = tmp_path_factory.mktemp("finished")
    generator = np.random.default_rng(0)
    for person in range(4):
        for k in range(4):
            write_image(root / "faces" / str(person) / f"{k}.png", generator.integers(0, 256, (32, 32, 3), np.uint8))
    data = {"train": f"folder:root={root / 'faces'}", "batch_size": 8, "workers": 0}
    settings = {"model": {"backbone": TINY}, "data": data, "train": {"epochs": 1}, "schedule": {"name": "constant"}}
    Trainer(config_from_dict(settings), root / "run").run()
    tiny = {"model.backbone": TINY, "model.teacher": root / "run", "data.train": data["train"], "data.batch_size": 8}
    return {key: str(value) for key, value in tiny.items()}


def overridden(recipe, finished):
    """The config with what this test stands in for: benchmarks are none, a teacher is a tiny one."""
    overrides = {"validation.benchmarks": "[]"}
    model = load_config(recipe.path).model
    if model.teacher:
        overrides |= finished
    if model.teacher_head:
        overrides["model.teacher_head"] = finished["model.teacher"]
    if "unlabelled" in model.mode:
        overrides |= {"model.mode": "distillation:unlabelled=4", "data.sampler": "identities:count=1,each=4"}
    return load_config(recipe.path, overrides)


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_a_recipe_can_be_built(recipe, finished):
    config = overridden(recipe, finished)

    found = dry_run(config) if config.model.teacher else dry_run(config, 100_000, 1_000_000)

    assert config.name == recipe.name
    assert max(found.rates) <= config.optim.lr
    assert found.rates[-1] < config.optim.lr
    assert sum(rate == config.optim.lr for rate in found.rates) or config.schedule.warmup_epochs


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_a_recipe_tells_its_source_and_that_it_was_not_reproduced(recipe):
    comment = [line for line in recipe.path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]

    assert 20 < len(recipe.what) <= 118
    assert recipe.what.endswith(".")
    if recipe.name not in OURS:
        told = " ".join(line.lstrip("# ") for line in comment)
        assert re.search(r"Published", told)
        assert told.endswith("Not reproduced.")


def test_a_recipe_says_what_differs_from_the_defaults_alone():
    for recipe in recipes():
        values = read_toml(recipe.path)
        assert set(values) <= {"name", "model", "data", "optim", "schedule", "train", "validation"}
        assert values.get("data", {}).get("transforms") != ["flip"] or recipe.name in OURS


def test_recipes_are_found_by_name_and_files_by_path(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("[data]\ntrain = 'x'\n")

    assert find_recipe("ms1mv3_iresnet50_arcface") == FOLDER / "ms1mv3_iresnet50_arcface.toml"
    assert find_recipe(own) == own
    with pytest.raises(InputError, match="did you mean ms1mv3_iresnet50_arcface"):
        find_recipe("ms1mv3_iresnet50_arface")
    with pytest.raises(InputError, match="see facezoo list recipes"):
        find_recipe("zzz")


def test_the_folder_configs_is_the_recipes():
    configs = Path(__file__).parent.parent / "configs"
    if not configs.is_dir():
        pytest.skip("a checkout without symbolic links")

    assert sorted(path.name for path in configs.glob("*.toml")) == [f"{recipe.name}.toml" for recipe in recipes()]


def test_recipes_are_listed_and_shown(run):
    code, out, _ = run("list", "recipes")
    assert code == 0
    assert len(out.splitlines()) == len(recipes())

    code, out, _ = run("config", "show", "ms1mv3_iresnet50_arcface")
    assert out.startswith("# arcface_torch: r50 with ArcFace")
    code, out, _ = run("config", "show", "ms1mv3_iresnet50_arcface", "--full")
    assert "channels_last = true" in out
