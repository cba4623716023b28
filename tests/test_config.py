"""A config is strict about keys and types, and survives its own TOML."""

from __future__ import annotations

import pytest

from facezoo.config import config_from_dict, config_to_toml, load_config
from facezoo.types import InputError


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[data]\ntrain = "folder:root=faces"\n[optim]\nlr = 0.05\n')
    return path


def test_defaults_fill_what_the_file_leaves_out(toml):
    config = load_config(toml)

    assert (config.optim.lr, config.optim.momentum, config.data.batch_size) == (0.05, 0.9, 64)


def test_overrides_win_and_keep_their_types(toml):
    config = load_config(toml, {"optim.lr": "0.2", "schedule.name": "step", "schedule.milestones": "[3.0, 5.0]"})

    assert (config.optim.lr, config.schedule.name) == (0.2, "step")
    assert config.schedule.milestones == [3.0, 5.0]


def test_the_resolved_config_reads_back_equal(toml, tmp_path):
    config = load_config(toml, {"optim.name": "adamw", "train.amp": "bf16"})
    again = tmp_path / "again.toml"
    again.write_text(config_to_toml(config))

    assert load_config(again) == config


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optim.learning_rate": "1"}, "learning_rate"),
        ({"optimizer.lr": "1"}, "optimizer"),
        ({"optim.lr": "fast"}, "optim.lr"),
        ({"data.batch_size": "1.5"}, "data.batch_size"),
        ({"train.amp": "int4"}, "train.amp"),
        ({"optim.lr": "0"}, r"run\.toml: optim\.lr is 0\.0, it must be above 0$"),
        ({"optim.ema": "1"}, r"run\.toml: optim\.ema is 1\.0"),
        ({"optim.lr": "nan"}, "above 0"),
        ({"optim.weight_decay": "-1.0"}, "optim.weight_decay is -1.0"),
        ({"data.workers": "-1"}, "data.workers"),
        ({"train.save_every": "-5"}, "train.save_every"),
        ({"schedule.milestones": "[5.0, 3.0]"}, "rising order"),
        ({"optim.nesterov": "true", "optim.momentum": "0.0"}, "needs optim.momentum"),
        ({"data.transforms": "flip"}, r"data\.transforms is 'flip', write a list in brackets"),
        ({"data.transforms": "[flip]"}, r"data\.transforms is '\[flip\]', .* texts in double quotes: .* single quotes"),
        ({"optim.betas": "(0.9, 0.99)"}, "write a list in brackets"),
        ({"optim.momentum": "7.0"}, r"optim\.momentum is 7\.0, it must be at least 0 and below 1$"),
        ({"optim.name": "adamw", "optim.betas": "[0.9, 1.5]"}, r"optim\.betas is \(0\.9, 1\.5\)"),
        ({"optim.betas": "[0.8, 0.9]"}, "with adamw only: optim.name is sgd"),
        (
            {"optim.name": "adamw", "optim.nesterov": "true"},
            "optim.nesterov is True, which has an effect with sgd only",
        ),
        ({"optim.name": "adamw", "optim.momentum": "0.5"}, "with sgd only"),
        ({"schedule.milestones": "[3.0]"}, "with step only: schedule.name is cosine"),
        ({"schedule.gamma": "0.5"}, "with step only"),
        ({"optim.swa": "0.5", "train.epochs": "1"}, "of two epochs at least, and train.epochs is 1"),
        ({"schedule.name": "step"}, "step, which needs schedule.milestones"),
        ({"schedule.power": "2.0"}, "with polynomial only"),
        (
            {"schedule.warmup_epochs": "5.0", "train.epochs": "4.0"},
            "schedule.warmup_epochs is 5, it must be at most train.epochs = 4",
        ),
        ({"schedule.name": "step", "schedule.final": "0.1"}, "with cosine or polynomial only"),
        ({"schedule.name": "constant", "schedule.final": "0.1"}, "with cosine or polynomial only"),
    ],
)
def test_wrong_keys_and_types_are_named(toml, overrides, message):
    with pytest.raises(InputError, match=message):
        load_config(toml, overrides)


def test_a_config_without_data_is_refused():
    with pytest.raises(InputError, match="data"):
        config_from_dict({"name": "x"})


def test_broken_toml_is_one_sentence(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[data\n")
    with pytest.raises(InputError, match="not valid TOML"):
        load_config(path)
    with pytest.raises(InputError, match="no such file"):
        load_config(tmp_path / "missing.toml")
