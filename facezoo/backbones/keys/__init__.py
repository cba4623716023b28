"""The names under which other projects store the tensors of our networks: one file per family.

Facts about checkpoint files of FaceX-Zoo, face.evoLVe, TFace, AdaFace, CVLface, insightface's arcface_torch and others.
"""

from facezoo.backbones.keys import ir, mobilefacenet
from facezoo.backbones.keys.layout import LAYOUTS, Layout, reference_keys

__all__ = ["LAYOUTS", "Layout", "ir", "mobilefacenet", "reference_keys"]
