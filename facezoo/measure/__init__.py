"""What models cost: parameters, multiply-adds, memory, time."""

from facezoo.measure.model import ModelInfo, latency, measure_model

__all__ = ["ModelInfo", "latency", "measure_model"]
