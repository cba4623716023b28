"""Backbones: one file per family, one registered function per variant."""

from facezoo.backbones import (
    attention,
    edgeface,
    fbnet,
    inception_resnet_v1,
    ir,
    iresnet,
    light_cnn,
    mobilefacenet,
    repvgg,
    tf_nas,
    timm,
    vit,
)

__all__ = [
    "attention",
    "edgeface",
    "fbnet",
    "inception_resnet_v1",
    "ir",
    "iresnet",
    "light_cnn",
    "mobilefacenet",
    "repvgg",
    "tf_nas",
    "timm",
    "vit",
]
