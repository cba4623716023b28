"""FaceX-Zoo's entries of backbone_conf.yaml as our spec strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from facezoo.config_import.translation import with_options
from facezoo.types import InputError

Entry: TypeAlias = dict[str, Any]
Read: TypeAlias = tuple[str, set[str]]
"""Our spec string, and the entries that it was made of."""

USUAL = {"feat_dim", "out_h", "out_w"}

REPVGG = {
    "repvgg_a0": (2, 0.75, 2.5),
    "repvgg_a1": (2, 1, 2.5),
    "repvgg_a2": (2, 1.5, 2.75),
    "repvgg_b0": (4, 1, 2.5),
    "repvgg_b1": (4, 2, 4),
    "repvgg_b2": (4, 2.5, 5),
    "repvgg_b3": (4, 3, 5),
}
"""By variant: blocks of the first stage, width of the first and of the last."""


def usual(spec: str, entry: Entry, dropout: bool = True) -> Read:
    """A spec with the options that most entries have: dimensions, crop height and width, dropout."""
    options: dict[str, Any] = {}
    read = set(USUAL)
    if entry.get("feat_dim", 512) != 512:
        options["embedding_dim"] = entry["feat_dim"]
    map_size = entry.get("out_h", 7), entry.get("out_w", 7)
    if not all(isinstance(side, int) for side in map_size):
        raise TypeError(map_size)
    if map_size != (7, 7):
        # Rows 0 to 59, the upper half of a crop, leave a map 4 high.
        height, width = (60 if side == 4 else 16 * side for side in map_size)
        options["input_size"] = (height, width)
    if dropout and "drop_ratio" in entry:
        options["dropout"] = entry["drop_ratio"]
        read.add("drop_ratio")
    return with_options(spec, **options), read


def _one_of(family: str, entry: Entry, keys: tuple[str, ...], known: dict[tuple[Any, ...], str]) -> str:
    found = tuple(entry.get(key) for key in keys)
    if found not in known:
        told = ", ".join(f"{key} {value}" for key, value in zip(keys, found, strict=True))
        raise InputError(f"FaceX-Zoo: {family} with {told} has no counterpart; known: {', '.join(known.values())}")
    return known[found]


def _resnet(entry: Entry) -> Read:
    depths = {50: 50, 100: 101, 152: 152}
    known = {
        (depth, mode): f"{ours}{number}:flavor=facexzoo"
        for depth, number in depths.items()
        for mode, ours in (("ir", "ir"), ("ir_se", "ir_se"))
    }
    spec, read = usual(_one_of("ResNet", entry, ("depth", "net_mode"), known), entry)
    return spec, read | {"depth", "net_mode"}


def _efficientnet(entry: Entry) -> Read:
    known = {(1.0, 1.0): "efficientnet_b0", (1.0, 1.1): "efficientnet_b1"}
    spec, read = usual(_one_of("EfficientNet", entry, ("width", "depth"), known), entry)
    return spec, read | {"width", "depth", "image_size"}


def _hrnet(entry: Entry) -> Read:
    return "hrnet_w18", set(entry)


def _ghostnet(entry: Entry) -> Read:
    spec, read = usual("ghostnet", entry)
    if entry.get("width", 1.0) != 1.0:
        spec = with_options(spec, width=float(entry["width"]))
    return spec, read | {"width"}


def _attention(entry: Entry) -> Read:
    keys = ("stage1_modules", "stage2_modules", "stage3_modules")
    spec, read = usual(
        _one_of("AttentionNet", entry, keys, {(1, 1, 1): "attention56", (1, 2, 3): "attention92"}), entry
    )
    return spec, read | set(keys)


def _tf_nas(entry: Entry) -> Read:
    return usual("tf_nas_a", entry)


def _resnest(entry: Entry) -> Read:
    spec, read = usual(_one_of("ResNeSt", entry, ("depth",), {(50,): "resnest50"}), entry)
    return spec, read | {"depth"}


def _rexnet(entry: Entry) -> Read:
    known = {(width,): f"rexnet_{round(100 * width)}" for width in (1.0, 1.3, 1.5, 2.0, 3.0)}
    spec, read = usual(_one_of("ReXNet", entry, ("width_mult",), known), entry)
    if entry.get("use_se"):
        spec = with_options(spec, squeeze=True)
    return spec, read | {"width_mult", "use_se"}


def _lightcnn(entry: Entry) -> Read:
    spec, read = usual(_one_of("LightCNN", entry, ("depth",), {(9,): "lightcnn9", (29,): "lightcnn29v2"}), entry)
    return spec, read | {"depth"}


def _repvgg(entry: Entry) -> Read:
    keys = ("blocks1", "width1", "width4")
    spec, read = usual(_one_of("RepVGG", entry, keys, {form: name for name, form in REPVGG.items()}), entry)
    numbered = {f"{name}{stage}" for name in ("blocks", "width") for stage in range(1, 5)}
    return spec, read | numbered


def _swin(entry: Entry) -> Read:
    name = _one_of("Swin_Transformer", entry, ("depth3",), {(6,): "swin_t", (18,): "swin_s"})
    spec = with_options(name, input_size=entry.get("img_size", 224))
    if "drop_path_rate" in entry:
        spec = with_options(spec, drop_path=float(entry["drop_path_rate"]))
    return spec, set(entry)


BACKBONES: dict[str, Callable[[Entry], Read]] = {
    "MobileFaceNet": lambda entry: usual("mobilefacenet", entry),
    "ResNet": _resnet,
    "EfficientNet": _efficientnet,
    "HRNet": _hrnet,
    "GhostNet": _ghostnet,
    "AttentionNet": _attention,
    "TF_NAS": _tf_nas,
    "TF-NAS": _tf_nas,
    "ResNeSt": _resnest,
    "ReXNet": _rexnet,
    "LightCNN": _lightcnn,
    "LightCNN29": lambda entry: usual("lightcnn29v2", entry),
    "RepVGG": _repvgg,
    "Swin_Transformer": _swin,
    "SwinTransformer": _swin,
}
"""By name in the file."""
