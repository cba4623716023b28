"""facezoo: a face recognition toolbox. Train, evaluate, export, detect, align, search."""

__version__ = "0.1.0"
