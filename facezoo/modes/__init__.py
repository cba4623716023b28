"""How a batch becomes named losses; one training loop serves every mode."""

from facezoo.modes import conventional

__all__ = ["conventional"]
