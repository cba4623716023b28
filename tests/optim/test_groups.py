"""Rules for learning rate and weight decay of parts: who is meant, which rule wins, what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from facezoo.backbones import kernels
from facezoo.backbones.keys import reference_keys
from facezoo.config import OptimConfig
from facezoo.heads import create_head
from facezoo.modes.conventional import Conventional
from facezoo.optim import create_optimizer, parameter_groups, set_lr
from facezoo.registry import BACKBONES
from facezoo.types import InputError


def small_mode() -> Conventional:
    stages = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), kernels.PReLU(4)),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)),
    )
    backbone = nn.Module()
    backbone.stages, backbone.output = stages, nn.Linear(4, 8)
    return Conventional(backbone, create_head("arcface", 8, 5))


def chosen(mode: nn.Module, *rules: str, **options) -> dict[str, tuple[float, float]]:
    """lr_scale and weight_decay of every trained parameter, by name."""
    groups = parameter_groups(mode, OptimConfig(groups=list(rules), weight_decay=0.5, **options))
    return {name: (group["lr_scale"], group["weight_decay"]) for group in groups for name, _ in group["params"]}


def test_without_rules_norms_biases_and_slopes_are_not_decayed():
    found = chosen(small_mode())

    assert {name for name, (_, decay) in found.items() if decay} == {
        "backbone.stages.0.0.weight",
        "backbone.stages.1.0.weight",
        "backbone.output.weight",
        "head.weight",
    }
    assert set(found) == dict(small_mode().named_parameters()).keys()
    assert {scale for scale, _ in found.values()} == {1.0}


def test_all_are_decayed_if_the_recipe_says_so():
    assert set(chosen(small_mode(), decay_norms=True).values()) == {(1.0, 0.5)}


def test_a_rule_holds_for_all_below_a_name_and_for_no_other():
    found = chosen(small_mode(), "backbone.stages.1:lr_scale=0.1", "head:lr_scale=10,weight_decay=0.001")

    assert found["head.weight"] == (10.0, 0.001)
    scales = {name: scale for name, (scale, _) in found.items() if not name.startswith("head")}
    assert all((scale == 0.1) == name.startswith("backbone.stages.1.") for name, scale in scales.items())


def test_a_name_is_met_at_its_dots_only():
    with pytest.raises(
        InputError, match=r"'backbone\.stag:lr_scale=2' names nothing that is trained; .*backbone\.stages"
    ):
        chosen(small_mode(), "backbone.stag:lr_scale=2")


def test_a_rule_names_modules_by_class_and_by_what_the_class_derives_from():
    found = chosen(small_mode(), "PReLU:weight_decay=0.25", "Conv2d:lr_scale=3")

    assert found["backbone.stages.0.2.weight"] == (1.0, 0.25)
    assert {name for name, (scale, _) in found.items() if scale == 3} == {
        f"backbone.stages.{stage}.0.{kind}" for stage in (0, 1) for kind in ("weight", "bias")
    }


def test_the_later_rule_wins_and_leaves_what_it_does_not_name():
    found = chosen(small_mode(), "backbone:lr_scale=2,weight_decay=0.1", "backbone.output:lr_scale=3")

    assert found["backbone.output.weight"] == (3.0, 0.1)
    assert found["backbone.stages.0.0.weight"] == (2.0, 0.1)


def test_weight_decay_of_a_part_spares_norms_unless_their_layer_is_named():
    found = chosen(small_mode(), "backbone:weight_decay=0.1", "backbone.stages.0.1:weight_decay=0.2")

    assert found["backbone.stages.1.1.weight"][1] == 0
    assert found["backbone.stages.0.1.weight"][1] == 0.2
    assert chosen(small_mode(), "BatchNorm2d:weight_decay=0", decay_norms=True)["backbone.stages.1.1.bias"][1] == 0


def test_a_group_holds_all_that_have_the_same_numbers():
    groups = parameter_groups(small_mode(), OptimConfig(groups=["head:lr_scale=10", "backbone.output:lr_scale=10"]))
    assert len({(group["lr_scale"], group["weight_decay"]) for group in groups}) == len(groups) == 4


def test_rates_are_scaled_and_the_state_knows_the_names():
    config = OptimConfig(groups=["head:lr_scale=10"])
    mode = small_mode()
    optimizer = create_optimizer(parameter_groups(mode, config), config)
    set_lr(optimizer, 0.05)

    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(mode.backbone.output.weight)] == 0.05
    assert rates[id(mode.head.weight)] == 0.5
    named = [name for group in optimizer.state_dict()["param_groups"] for name in group["param_names"]]
    assert sorted(named) == sorted(dict(mode.named_parameters()))


def test_what_is_frozen_has_no_gradient_and_keeps_its_statistics():
    mode = small_mode()
    found = chosen(mode, "backbone.stages:lr_scale=0")
    before = {name: value.clone() for name, value in mode.backbone.stages.state_dict().items()}
    mode.train()
    images = torch.randn(4, 3, 5, 5)
    embeddings = mode.backbone.output(mode.backbone.stages(images).flatten(1))
    sum(mode.head(embeddings, torch.arange(4)).values()).backward()

    assert set(found) == {"backbone.output.weight", "backbone.output.bias", "head.weight"}
    assert all(parameter.grad is None for parameter in mode.backbone.stages.parameters())
    assert all(torch.equal(value, before[name]) for name, value in mode.backbone.stages.state_dict().items())
    assert mode.training and mode.head.training and not mode.backbone.stages[1][2].training


def test_a_weight_that_two_modules_share_is_trained_once():
    mode = small_mode()
    mode.backbone.again = mode.backbone.output
    found = parameter_groups(mode, OptimConfig())
    assert sum(len(group["params"]) for group in found) == len(list(mode.parameters()))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("head", "does not say what for whom"),
        (":lr_scale=2", "does not say what for whom"),
        ("head:lr=2", "no option 'lr'; its options: lr_scale, weight_decay"),
        ("head:lr_scale=-1", "not a number from 0 up"),
        ("head:lr_scale=nan", "not a number from 0 up"),
        ("head:weight_decay=much", "not a number from 0 up"),
        ("Linaer:lr_scale=2", "names nothing that is trained"),
        ("neck:lr_scale=2", "names nothing that is trained"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(rule, message):
    with pytest.raises(InputError, match=message):
        chosen(small_mode(), rule)


def test_nothing_left_to_train_is_refused():
    with pytest.raises(InputError, match="everything is frozen"):
        chosen(small_mode(), "backbone:lr_scale=0", "head:lr_scale=0")


@pytest.mark.parametrize(
    "spec",
    [
        "vit_t:input_size=64,mask_ratio=0.1",
        "swin_t:input_size=64",
        "edgeface_s",
        "timm:vit_tiny_patch16_224,input_size=64",
        "timm:vit_small_patch14_reg4_dinov2,input_size=56,output=pool",
        "timm:levit_128s,input_size=224",
        "timm:swinv2_tiny_window8_256,input_size=64",
    ],
)
def test_of_transformers_weights_of_layers_are_decayed_and_nothing_else(spec):
    with torch.device("meta"):
        backbone = BACKBONES.create(spec)
    found = chosen(backbone)
    layers = {
        f"{name}.weight"
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
    }
    assert {name for name, (_, decay) in found.items() if decay} == layers & set(found)


def spared(name: str, layout: str, **options) -> tuple[nn.Module, set[str]]:
    """A network, and the names in files of that layout of the parameters that are not decayed."""
    with torch.device("meta"):
        network = BACKBONES.create(name)
    names = reference_keys(network, layout)
    return network, {names[key] for key, (_, decay) in chosen(network, **options).items() if not decay}


@pytest.mark.golden
def test_what_the_projects_do_not_decay_is_not_decayed_here(golden, golden_root):
    _, wanted, _ = golden.load(str(golden_root / "optim" / "weight_decay_groups.npz"))
    lists = {name: set(json.loads(str(wanted[name]))) for name in wanted if name != "facexzoo_swin_weight_decay"}

    _, found = spared("swin_t:input_size=224", "swin")
    swin = {name.removeprefix("backbone.") for name in lists["facexzoo_swin_no_decay"]}
    assert swin < found and all(name.endswith("relative_position_bias_table") for name in found - swin)

    network, found = spared("ir_se50:flavor=facexzoo", "ir")
    evolve = lists["evolve_irse_bn"]
    names = reference_keys(network, "ir")
    slopes = {names[f"{n}.weight"] for n, module in network.named_modules() if isinstance(module, nn.PReLU)}
    assert evolve < found and found - evolve == slopes | {names["output.linear.bias"]}

    assert spared("ir18", "ir", decay_norms=True)[1] == lists["tface_name_rule"] == set()


@pytest.mark.parametrize(("name", "value"), [("ema", 0.9), ("swa", 1.0), ("clip_norm", 5.0)])
def test_what_is_done_to_a_frozen_backbone_alone_is_refused(name, value):
    config = OptimConfig(**{name: value})
    assert parameter_groups(small_mode(), config)
    frozen = small_mode()
    frozen.backbone.requires_grad_(False)
    with pytest.raises(InputError, match=rf"optim\.{name} .*the backbone, of which nothing is trained; leave it out"):
        parameter_groups(frozen, config)
    with pytest.raises(InputError, match=rf"optim\.{name} "):
        parameter_groups(small_mode(), OptimConfig(groups=["backbone:lr_scale=0"], **{name: value}))
