"""FaceX-Zoo's training: backbone_conf.yaml, head_conf.yaml, and the flags in train.sh."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from facezoo.config_import.facexzoo_backbones import BACKBONES
from facezoo.config_import.python_file import read_small
from facezoo.config_import.translation import Translation, with_options
from facezoo.config_import.yaml_file import read_yaml
from facezoo.data.subset import spec_text
from facezoo.types import InputError

HEADS: dict[str, tuple[str, dict[str, str]]] = {
    "AM-Softmax": ("amsoftmax@facexzoo", {"margin": "margin", "scale": "scale"}),
    "AdaM-Softmax": ("adamsoftmax@facexzoo", {"scale": "scale", "lamda": "penalty_weight"}),
    "AdaCos": ("adacos@facexzoo", {}),
    "ArcFace": ("arcface@facexzoo", {"margin_arc": "margin", "margin_am": "fallback_margin", "scale": "scale"}),
    "CircleLoss": ("circleloss@facexzoo", {"margin": "margin", "gamma": "scale"}),
    "CurricularFace": ("curricularface@facexzoo", {"m": "margin", "s": "scale", "margin": "margin", "scale": "scale"}),
    "MagFace": (
        "magface@facexzoo",
        {
            **{"l_a": "low", "u_a": "high", "l_margin": "low_margin", "u_margin": "high_margin"},
            **{"l_m": "low_margin", "u_m": "high_margin", "margin_am": "fallback_margin"},
            **{"scale": "scale", "lamda": "penalty_weight"},
        },
    ),
    "MV-Softmax": ("mvsoftmax@facexzoo", {"margin": "margin", "mv_weight": "weight", "scale": "scale"}),
    "NPCFace": ("npcface@facexzoo", {"margin": "margin", "scale": "scale"}),
    "ArcNegFace": ("arcnegface@facexzoo", {"margin": "margin", "scale": "scale"}),
}
"""By name: our head with its defaults, and what its entries are called here."""

FLAGS: dict[str, Any] = {
    "backbone_type": "MobileFaceNet",
    "head_type": "MV-Softmax",
    "lr": "0.1",
    "epoches": "18",
    "step": "10,13,16",
    "momentum": "0.9",
    "batch_size": "512",
}
"""Of its README's command, where there is no train.sh."""

SUFFIXES = {".yaml": "YAML", ".yml": "YAML", ".sh": "shell"}


def read(paths: list[Path]) -> dict[str, Any]:
    """The flags of train.sh under their names, and the entries of the YAML files under `backbones` and `heads`.

    Raises:
        InputError: one of the two YAML files is missing, or a file is of another kind.
    """
    found: dict[str, Any] = dict(FLAGS)
    for path in paths:
        if path.suffix == ".sh":
            found |= _flags(path)
            continue
        entries = read_yaml(path)
        kind = "heads" if set(entries) & (set(HEADS) | {"SST_Prototype"}) else "backbones"
        if kind == "backbones" and not set(entries) & set(BACKBONES):
            raise InputError(f"{path}: none of FaceX-Zoo's backbones or heads is in it")
        found[kind] = entries
    for kind, name in (("backbones", "backbone_conf.yaml"), ("heads", "head_conf.yaml")):
        if kind not in found:
            raise InputError(f"FaceX-Zoo's {name} is missing: give both files, and train.sh if you have it")
    return found


def translate(given: dict[str, Any], backbone: str = "", head: str = "") -> Translation:
    """Ours for the entries of `read`.

    Args:
        backbone, head: names in the files, instead of those in train.sh.
    """
    made = Translation("FaceX-Zoo", {k: v for k, v in given.items() if k not in ("backbones", "heads")})
    chosen = backbone or made.take("backbone_type", str), head or made.take("head_type", str)
    made.leave("another was asked for", "backbone_type", "head_type")
    _backbone(made, chosen[0], given["backbones"])
    _head(made, chosen[1], given["heads"])
    _flags_of(made)
    return made


def _backbone(made: Translation, name: str, entries: dict[str, Any]) -> None:
    options = _entry("backbone_conf.yaml", name, entries, list(BACKBONES))
    try:
        spec, read = BACKBONES[name](options)
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError(f"backbone_conf.yaml: an entry of {name} is not a number where it must be") from None
    made.put("model.backbone", spec, f"{name} of backbone_conf.yaml")
    if "input_size=(60,112)" in spec:
        made.put("model.template", "arcface-upper", "out_h")
    _tell_rest(made, name, {key: value for key, value in options.items() if key not in read})


def _head(made: Translation, name: str, entries: dict[str, Any]) -> None:
    if name == "SST_Prototype":
        raise InputError(
            "FaceX-Zoo: SST_Prototype is another training; see facezoo config show shallow_mobilefacenet_sst"
        )
    options = _entry("head_conf.yaml", name, entries, list(HEADS))
    spec, names = HEADS[name]
    ours = {names[key]: value for key, value in options.items() if key in names}
    rest = {key: value for key, value in options.items() if key not in names}
    if name == "MV-Softmax" and not rest.pop("is_am", 1):
        ours["kind"] = "arc"
    made.put("model.head", with_options(spec, **ours), f"{name} of head_conf.yaml")
    made.classes = rest.pop("num_class", 0)
    _tell_rest(made, name, {key: value for key, value in rest.items() if key != "feat_dim"})


def _entry(file: str, name: str, entries: dict[str, Any], known: list[str]) -> dict[str, Any]:
    if name not in known:
        raise InputError(f"FaceX-Zoo: {name!r} is not known; known: {', '.join(known)}")
    if not isinstance(entries.get(name), dict):
        raise InputError(f"{file}: {name} has no entries; it has: {', '.join(entries)}")
    return entries[name]


def _tell_rest(made: Translation, name: str, rest: dict[str, Any]) -> None:
    for key, value in rest.items():
        made.leave_value(f"{name}.{key}", value, "not known")


def _flags_of(made: Translation) -> None:
    listed, root = made.take("train_file", str), made.take("data_root", str)
    if listed:
        where = {"root": root} if root else {}
        made.put("data.train", spec_text("list", path=listed, **where), "train_file", "data_root")
    else:
        made.put("data.train", "list:path=data/train.txt", "no train_file: a path to be set")
    for flag, target, kind in (
        ("batch_size", "data.batch_size", int),
        ("lr", "optim.lr", float),
        ("momentum", "optim.momentum", float),
        ("epoches", "train.epochs", float),
        ("print_freq", "train.log_every", int),
        ("save_freq", "train.save_every", int),
    ):
        if flag in made:
            made.put(target, _number(flag, made.take(flag, str), kind), flag)
    made.put("optim.weight_decay", 1e-4, "its trainer decays everything by this")
    made.put("optim.decay_norms", True, "its trainer decays everything")
    made.put("schedule.name", "step", "its schedule")
    made.put("schedule.milestones", [_number("step", part, int) for part in made.take("step", str).split(",")], "step")
    made.leave("the run folder is --out", "out_dir", "log_dir", "tensorboardx_logdir")
    made.leave("what facezoo import makes of a file can be model.start", "pretrain_model")
    made.leave("a run goes on when the same command is given again", "resume")
    made.leave("the files were given", "backbone_conf_file", "head_conf_file")
    made.leave("name the sets in validation.benchmarks", "evaluate", "test_set", "test_data_conf_file")


def _flags(path: Path) -> dict[str, str]:
    """The flags of the shell script's command; several lines of it may end in a backslash."""
    text = read_small(path).replace("\\\n", " ").replace("\\\r\n", " ")
    found: dict[str, str] = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            raise InputError(f"{path}: quotes are not closed in {line[:60]!r}") from None
        for place, word in enumerate(words):
            if word.startswith("--"):
                key, equals, value = word[2:].partition("=")
                following = words[place + 1] if place + 1 < len(words) else ""
                found[key] = value if equals else "" if following.startswith("-") else following
    return found


def _number(flag: str, text: str, kind: type) -> Any:
    try:
        return kind(text.strip())
    except ValueError:
        raise InputError(f"FaceX-Zoo: --{flag} is {text!r}, it must be a number") from None
