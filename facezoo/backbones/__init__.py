"""Backbones: one file per family, one registered function per variant."""

from facezoo.backbones import ir, iresnet, mobilefacenet, timm

__all__ = ["ir", "iresnet", "mobilefacenet", "timm"]
