"""The names under which other projects store the tensors of our networks: one file per family.

Facts about checkpoint files of FaceX-Zoo, face.evoLVe, TFace, AdaFace, CVLface, insightface's arcface_torch and others.
"""

from facezoo.backbones.keys import (
    attention,
    edgeface,
    efficientnet,
    fbnet,
    ghostnet,
    hrnet,
    inception_resnet_v1,
    ir,
    light_cnn,
    mobilefacenet,
    repvgg,
    resnest,
    resnet,
    rexnet,
    swin,
    tf_nas,
    vit,
)
from facezoo.backbones.keys.layout import LAYOUTS, Layout, reference_keys

__all__ = [
    "LAYOUTS",
    "Layout",
    "attention",
    "edgeface",
    "efficientnet",
    "fbnet",
    "ghostnet",
    "hrnet",
    "inception_resnet_v1",
    "ir",
    "light_cnn",
    "mobilefacenet",
    "reference_keys",
    "repvgg",
    "resnest",
    "resnet",
    "rexnet",
    "swin",
    "tf_nas",
    "vit",
]
