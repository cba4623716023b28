"""Imports point down, the runtime never imports torch, and the sources keep the house rules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "facezoo"

# From the bottom up; a module may import its own level and those below.
LEVELS = [
    {"types", "options", "registry", "cards", "files", "progress"},
    {"align", "image", "distributed", "contract", "heap"},
    {"backbones", "networks", "heads", "distillation", "data", "mask", "optim", "zoo"}
    | {"config", "config_import", "recipes"},
    {"modes", "checkpoint", "evaluation"},
    {"gallery", "embedder"},
    {"run", "plan", "state", "head_file", "teacher", "stopping", "precision"},
    {"learner"},
    {"train", "dry_run", "validation", "identities", "curation", "extract", "doctor"}
    | {"sdk", "export", "imports", "measure", "quality"},
    {"demo"},
    {"cli", "serve", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """The parts of facezoo that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("facezoo.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "facezoo":
            found |= {alias.name for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facezoo."):
            found.add(str(node.module).split(".")[1])
    return found


def test_every_module_has_a_level():
    assert {part(path) for path in sources()} - {"__init__"} <= set(LEVEL)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = part(path)
    if own == "__init__":
        assert imported(path) == set()
        return
    above = {name for name in imported(path) if LEVEL[name] > LEVEL[own]}
    assert not above, f"{path} imports {above} from above"


def test_the_runtime_never_imports_torch():
    parts = "facezoo.curation.probes, facezoo.curation.stats_page, facezoo.curation.overlap_page, "
    parts += "facezoo.mask.fit, facezoo.mask.take, facezoo.mask.wear, "
    parts += "facezoo, facezoo.sdk, facezoo.gallery, facezoo.evaluation, facezoo.data, facezoo.embedder, facezoo.cli"
    code = (
        f"import sys, {parts}\n"
        "from facezoo.registry import BENCHMARKS, DATASETS, DETECTORS, EMBEDDERS, LANDMARKS, TRANSFORMS, WEARABLES\n"
        "for r in (BENCHMARKS, DATASETS, DETECTORS, EMBEDDERS, LANDMARKS, TRANSFORMS, WEARABLES): r.names()\n"
        "heavy = {'torch', 'torchvision', 'timm', 'numba', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_readable(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
