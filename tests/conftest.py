"""Real data, golden numbers and third-party weights come through three variables; without them tests are skipped."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from facezoo import progress
from facezoo.cli import main


def pytest_configure() -> None:
    # A shell lets its commands in the background ignore Ctrl-C, and their children with them: tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("FACEZOO_OFFLINE") == "1":
        skip = pytest.mark.skip(reason="FACEZOO_OFFLINE=1: the package index is not asked")
        for item in items:
            if item.get_closest_marker("network"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def exact_small_numbers() -> Iterator[None]:
    """A Trainer that is made and not run leaves the processor rounding denormal numbers to 0: no test hands that on."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: no {what}")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"{variable}={value} is not a folder")
    return folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    return _folder("FACEZOO_TEST_DATA", "real photographs")


@pytest.fixture(scope="session")
def golden_root() -> Path:
    return _folder("FACEZOO_TEST_GOLDEN", "golden numbers")


@pytest.fixture(scope="session")
def models_root() -> Path:
    return _folder("FACEZOO_TEST_MODELS", "third-party weights")


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"facezoo_golden_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden(golden_root: Path) -> ModuleType:
    """The tree's own reader: load(path) -> (inputs, outputs, meta)."""
    return _module(golden_root / "golden.py")


@pytest.fixture(scope="session")
def golden_fill(golden_root: Path) -> ModuleType:
    """The tree's own rule that fills weights from key names."""
    return _module(golden_root / "fill.py")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[Any, str, str]]]:
    """Runs a command; its exit code, standard output and standard error."""

    def run(*tokens: object) -> tuple[Any, str, str]:
        code: Any = 0
        try:
            main([str(token) for token in tokens])
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run
    progress.show(False)
