"""Semi-siamese training with two kinds of cameras, at the level of the mode."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from facezoo.config import config_from_dict
from facezoo.modes.semi_siamese import HeterogeneousSemiSiamese, SemiSiamese
from facezoo.train import Trainer
from facezoo.types import InputError

SETS, PEOPLE = np.array([0, 0, 0, 1, 1, 1]), np.array([2, 0, 1, 0, 1, 2])


def test_probes_of_one_camera_meet_galleries_of_the_other(flat):
    mode = HeterogeneousSemiSiamese(flat, "cosface:scale=8", SETS, PEOPLE, queue=10).train()
    mode.backbone.layer.weight.data += 0.1  # probes and galleries differ
    head, images = copy.deepcopy(mode.head), torch.randn(6, 3, 2, 2)
    labels = torch.tensor([0, 5, 1, 3, 2, 4])

    found = mode(images, labels, torch.arange(6))["prototype"]

    visible, infrared, people = images[0::2], images[1::2], torch.tensor([2, 0, 1])
    probes, galleries = mode.backbone, mode.gallery
    wanted = head.visible(probes(infrared), galleries(visible), people)
    wanted = (wanted + head.infrared(probes(visible), galleries(infrared), people)) / 2
    torch.testing.assert_close(found, wanted)
    for queue, kind in ((mode.head.visible, visible), (mode.head.infrared, infrared)):
        assert queue.identities[:4].tolist() == [2, 0, 1, -1]
        torch.testing.assert_close(queue.queue[:3], nn.functional.normalize(galleries(kind)))


def test_other_batches_and_data_are_refused(flat):
    mode = HeterogeneousSemiSiamese(flat, "cosface", SETS, PEOPLE, queue=10)
    for labels in ([0, 3, 1, 4], [5, 0, 3, 1], [0, 5, 1]):  # other people, cameras the other way round, half a pair
        with pytest.raises(InputError, match="branches:same=true"):
            mode(torch.randn(len(labels), 3, 2, 2), torch.tensor(labels), torch.arange(len(labels)))
    with pytest.raises(InputError, match="the data are 1 set, it takes two"):
        HeterogeneousSemiSiamese(flat, "cosface", SETS * 0, PEOPLE)


class Told(nn.Module):
    """Gives the embeddings that it is told instead of computing them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embedding_dim, self.scale, self.told = dim, nn.Parameter(torch.ones(())), []

    def forward(self, images):
        return self.told.pop(0) * self.scale


@pytest.mark.golden
@pytest.mark.parametrize("margin", ["softmax", "am_softmax", "arc_softmax"])
def test_six_steps_of_the_mode_are_facexzoos(golden, golden_root, margin, monkeypatch):
    """The networks are replaced by their outputs: the rest, queue, coin and order of images, is the mode's."""
    _, wanted, meta = golden.load(f"heads/facexzoo__sst_prototype_{margin}.npz")
    hyper = meta["hyper"]
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        steps = {name[4:]: file[name] for name in file.files if name.startswith("sst.")}
    dim, size = steps["queue0"].shape
    spec = {
        "softmax": "normface:scale={scale}",
        "am_softmax": "cosface:margin={margin},scale={scale}",
        "arc_softmax": "arcface:fallback=none,margin={margin},scale={scale}",
    }[margin]
    mode = SemiSiamese(Told(dim), spec.format(**hyper), queue=size).train()
    mode.head.queue.queue.copy_(torch.from_numpy(steps["queue0"].T))
    for step in range(meta["steps"]):
        p1, p2, g1, g2 = (torch.from_numpy(steps[part][step]) for part in ("p1", "p2", "g1", "g2"))
        mode.backbone.told, mode.gallery.network.told = [p1, p2], [g1, g2]
        monkeypatch.setattr(torch, "rand", lambda *_, step=step, **__: torch.tensor(float(wanted["stored"][step] == 1)))
        labels = torch.from_numpy(steps["ids"][step]).repeat_interleave(2)

        loss = mode(torch.zeros(len(labels), 3, 2, 2), labels, torch.arange(len(labels)))["prototype"]

        assert golden.diff(loss.detach().numpy(), wanted["loss"][step])[1] <= 1e-5
        assert golden.diff(mode.head.queue.queue.T.numpy(), wanted["queue"][step])[1] <= 1e-6
        assert (mode.head.queue.identities.numpy() == wanted["label_list"][step]).all()
        assert mode.head.queue.index == wanted["index_after"][step]


@pytest.mark.golden
def test_six_steps_with_two_cameras_are_facexzoos(golden, golden_root):
    _, wanted, meta = golden.load("heads/facexzoo__hsst_prototype_am_softmax.npz")
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        steps = {name[4:]: file[name] for name in file.files if name.startswith("sst.")}
    dim, size = steps["queue0"].shape
    count = int(steps["ids"].max()) + 1  # people, each a class of the visible set and one of the infrared set
    mode = HeterogeneousSemiSiamese(
        Told(dim),
        "cosface:margin={margin},scale={scale}".format(**meta["hyper"]),
        np.repeat([0, 1], count),
        np.tile(np.arange(count), 2),
        queue=size,
    ).train()
    mode.head.visible.queue.copy_(torch.from_numpy(steps["queue0"].T))
    mode.head.infrared.queue.copy_(torch.from_numpy(steps["queue0_b"].T))
    for step in range(meta["steps"]):
        p1, p2, g1, g2 = (torch.from_numpy(steps[part][step]) for part in ("p1", "p2", "g1", "g2"))
        mode.backbone.told, mode.gallery.network.told = [p2, p1], [g2, g1]
        people = torch.from_numpy(steps["ids"][step])
        labels = torch.stack([people, people + count], 1).flatten()

        loss = mode(torch.zeros(len(labels), 3, 2, 2), labels, torch.arange(len(labels)))["prototype"]

        assert golden.diff(loss.detach().numpy(), wanted["loss"][step])[1] <= 1e-5
        assert golden.diff(mode.head.visible.queue.T.numpy(), wanted["vis_queue"][step])[1] <= 1e-6
        assert golden.diff(mode.head.infrared.queue.T.numpy(), wanted["nir_queue"][step])[1] <= 1e-6
        assert (mode.head.visible.identities.numpy() == wanted["label_list"][step]).all()


def test_lists_of_two_cameras_by_the_numbers_of_people(tmp_path):
    """As CASIA NIR-VIS 2.0 lies: grey .bmp beside .jpg, people by numbers with gaps, one photo a camera of some."""
    generator = np.random.default_rng(0)
    for kind, ending, photos in (("VIS", "jpg", 1), ("NIR", "bmp", 2)):
        lines = []
        for person in (10039, 10001, 20411, 10500):
            for number in range(photos):
                name = f"s{person % 3 + 1}/{kind}/{person}/{number + 1:03}.{ending}"
                crop = generator.integers(0, 256, (32, 32, 3) if kind == "VIS" else (32, 32), np.uint8)
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(tmp_path / name), crop)
                lines.append(f"{name} {person}\n")
        (tmp_path / f"{kind}.txt").write_text("".join(generator.permutation(lines)))
    config = config_from_dict(
        {
            "model": {
                "backbone": "mobilefacenet:embedding_dim=8,width=0.25,input_size=32",
                "mode": "heterogeneous_semi_siamese:queue=4,mask_duplicates=true",
            },
            "data": {
                "train": f'multi:sets=["list:path={tmp_path}/VIS.txt","list:path={tmp_path}/NIR.txt"]',
                "sampler": "branches:same=true",
                "batch_size": 4,
                "workers": 0,
            },
            "train": {"epochs": 2, "threads": 1},
        }
    )
    trainer = Trainer(config, tmp_path / "run")
    samples = next(trainer._batches()).samples
    names = [Path(trainer.data.name(sample)).parts[-3:-1] for sample in samples]
    assert [kind for kind, _ in names] == ["VIS", "NIR"] * 2
    assert all(left == right for (_, left), (_, right) in zip(names[::2], names[1::2], strict=True))
    trainer.run()
