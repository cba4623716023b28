"""Backbones: one file per family, one registered function per variant."""

from facezoo.backbones import ir, iresnet, mobilefacenet

__all__ = ["ir", "iresnet", "mobilefacenet"]
