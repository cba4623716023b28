"""Models for other runtimes."""

from facezoo.export.onnx import Parity, export_onnx

__all__ = ["Parity", "export_onnx"]
