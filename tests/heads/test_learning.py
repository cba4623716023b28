"""With any head a small network learns rendered people: photos it has not seen lie nearest to their own centre."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facezoo.align import fit
from facezoo.config import config_from_dict
from facezoo.data.synthetic import write_faces
from facezoo.embedder import load_embedder
from facezoo.head_file import HeadFile
from facezoo.registry import DATASETS, HEADS, LOSSES
from facezoo.train import Trainer
from facezoo.types import unit

pytestmark = pytest.mark.network

PEOPLE, IMAGES, HELD_OUT = 10, 10, 3
WELL_ABOVE_CHANCE = 0.35
"""Guessing among ten people names 11 of the 30 unseen photos rightly once in ten thousand times."""

GENTLE = {
    "npcface": "m0=0.2,m1=0.1,scale=16",
    "cifp": "margin=0.2,scale=16",
    "circleloss": "scale=64",
    "sphereface": "",
}
"""Options for so few people and steps: scales of 64 and margins of half a radian are for millions of photos."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("learning") / "faces"
    write_faces(root, PEOPLE, IMAGES, size=64)
    seen, unseen = [], []
    data = DATASETS.create(f"folder:root={root}")
    for index in range(len(data)):
        path = data.name(index)
        line = f"{path.removeprefix(str(root) + '/')} {data.labels[index]}\n"
        (seen if index % IMAGES < IMAGES - HELD_OUT else unseen).append(line)
    (root / "seen.list").write_text("".join(seen))
    (root / "unseen.list").write_text("".join(unseen))
    return root


def spec(name: str) -> str:
    options = GENTLE.get(name)
    if options is None:
        options = ",".join(f"{key}={value}" for key, value in HEADS.taken(name, {"scale": 16, "margin": 0.2}).items())
    return f"{name}:{options}".rstrip(":")


def identified(faces, out, head: str, **model) -> float:
    """Share of the unseen photos that lie nearest to their own person's centre."""
    values = {
        "model": {
            "backbone": "mobilefacenet:embedding_dim=32,width=0.25,input_size=48",
            "head": head,
            **model,
        },
        "data": {"train": f"list:path={faces}/seen.list,root={faces}", "batch_size": 35, "workers": 0},
        "optim": {"lr": 0.05},
        "schedule": {"warmup_epochs": 2},
        "train": {"epochs": 30, "threads": 1, "save_every": 1000},
    }
    Trainer(config_from_dict(values), out).run()
    unseen = DATASETS.create(f"list:path={faces}/unseen.list,root={faces}")
    embed = load_embedder(out)
    size = embed.contract.input_size
    embeddings = unit(embed(fit(unseen.read(i), size) for i in range(len(unseen))))
    centres = HeadFile.read(out).weight.float()
    if centres.dim() == 2:
        centres = centres[:, None]
    centres = torch.nn.functional.normalize(centres, dim=2).numpy()
    cosine = np.einsum("nd,ckd->nck", embeddings, centres).max(2)
    return float((cosine.argmax(1) == unseen.labels).mean())


@pytest.mark.parametrize("name", HEADS.names())
def test_any_head_learns(faces, tmp_path, name):
    assert identified(faces, tmp_path, spec(name)) >= WELL_ABOVE_CHANCE


@pytest.mark.parametrize(
    "model",
    [
        *({"loss": loss} for loss in LOSSES.names() if loss != "cross_entropy"),
        {"embedding_losses": ["triplet", "centre"]},
        {"sample_rate": 0.6},
        {"sub_centres": 3},
        {"centres": "bf16"},
    ],
    ids=str,
)
def test_any_loss_and_kind_of_centres_learns(faces, tmp_path, model):
    assert identified(faces, tmp_path, "cosface:scale=16,margin=0.2", **model) >= WELL_ABOVE_CHANCE
