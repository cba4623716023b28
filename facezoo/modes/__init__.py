"""How a batch becomes named losses; one training loop serves every mode."""

from facezoo.modes import conventional, ddl, distillation, metric, scf, semi_siamese

__all__ = ["conventional", "ddl", "distillation", "metric", "scf", "semi_siamese"]
