"""Heads: a margin per paper, the classifier that owns the class centres, and the losses beside the margin."""

from facezoo.heads import arcface, combined, cosface, losses, mv_softmax, softmax
from facezoo.heads.classifier import Classifier, create_head

__all__ = ["Classifier", "arcface", "combined", "cosface", "create_head", "losses", "mv_softmax", "softmax"]
