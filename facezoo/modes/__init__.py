"""How a batch becomes named losses; one training loop serves every mode."""

from facezoo.modes import conventional, semi_siamese

__all__ = ["conventional", "semi_siamese"]
