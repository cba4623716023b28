"""Commands on configs: show a recipe, translate the config of another project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from facezoo.cli.app import app
from facezoo.types import InputError

commands = App(name="config", help="Recipes, and the configs of other projects as ours.")
app.command(commands)


@commands.command
def show(recipe: str, /, *, full: bool = False) -> None:
    """Print a recipe, to look at or to begin a config of your own with.

    Args:
        recipe: name of a recipe, see facezoo list recipes, or a TOML file.
        full: write every default out.
    """
    from facezoo.config import config_to_toml, load_config
    from facezoo.recipes import find_recipe

    path = find_recipe(recipe)
    config = load_config(path)
    print(config_to_toml(config) if full else path.read_text(encoding="utf-8"), end="")


@commands.command(name="import")
def import_(
    *files: Annotated[Path, Parameter(required=True)],
    gpus: int = 8,
    backbone: str = "",
    head: str = "",
    force: bool = False,
) -> None:
    """Translate a config of arcface_torch, FaceX-Zoo, TFace or face.evoLVe into a TOML file, the last of FILES.

    Nothing in the files is run. What was understood is printed, and what was not; that also stands in the file.

    Args:
        files: the config, or several files of it (base.py and a config of arcface_torch; backbone_conf.yaml,
            head_conf.yaml and train.sh of FaceX-Zoo), and last the .toml file to write.
        gpus: that arcface_torch's or TFace's batch is for each of.
        backbone: entry of backbone_conf.yaml, if it is not that of train.sh.
        head: entry of head_conf.yaml, if it is not that of train.sh.
        force: replace the .toml file if it is there.
    """
    from facezoo.config_import import import_config
    from facezoo.files import write_text

    *sources, out = files
    if out.suffix != ".toml" or not sources:
        raise InputError(f"{out}: name the config's files, and last the .toml file to write")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; give --force to replace it, or another name")
    found = import_config(sources, out.stem, gpus, backbone, head)
    write_text(out, found.toml())
    print(f"a config of {found.project}")
    for line in found.took:
        print(f"  {line}")
    for line in found.left:
        print(f"  not translated: {line}")
    size = f" --classes {found.classes} --images {found.images}" if found.classes and found.images else ""
    print(f"{out}: look at it with facezoo train {out} --dry-run{size}")
