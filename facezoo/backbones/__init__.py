"""Backbones: one file per family, one registered function per variant."""

from facezoo.backbones import mobilefacenet

__all__ = ["mobilefacenet"]
