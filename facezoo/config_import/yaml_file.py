"""YAML configs, read without making anything but numbers, texts, lists and dicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facezoo.config_import.python_file import read_small
from facezoo.types import InputError


def read_yaml(path: Path) -> dict[str, Any]:
    """The entries of a YAML file.

    Raises:
        InputError: it cannot be read, is not YAML, or holds no entries.
    """
    import yaml

    text = read_small(path)
    try:
        # A few lines of references to references can stand for gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InputError(f"{path}: has references (*name), which no config of a known project has; write them out")
        found = yaml.safe_load(text)
    except InputError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"{path}: not valid YAML{f', line {mark.line + 1}' if mark else ''}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no entries NAME: value")
    return {str(key): value for key, value in found.items()}
