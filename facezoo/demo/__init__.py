"""The whole toolbox in five minutes: train, evaluate, export, then detect, compare and search real photos."""

from facezoo.demo.story import run_demo

__all__ = ["run_demo"]
