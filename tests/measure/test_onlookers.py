"""What a teacher and the galleries' network add to the memory of a step."""

from __future__ import annotations

import pytest
import torch

from facezoo.checkpoint import load_model, save_model
from facezoo.config import config_from_dict
from facezoo.dry_run import StandIn
from facezoo.embedder import load_embedder
from facezoo.export import export_onnx
from facezoo.head_file import HeadFile
from facezoo.image import write_image
from facezoo.measure.counts import Living, peak_bytes
from facezoo.measure.onlookers import Onlooker, onlookers
from facezoo.measure.onnx_graph import OnnxGraph
from facezoo.measure.training import activation_bytes, step_memory
from facezoo.plan import create_mode
from facezoo.registry import BACKBONES
from facezoo.types import Contract

BACKBONE = "mobilefacenet:embedding_dim=16,width=0.25,input_size=32"
TEACHER = "mobilefacenet:embedding_dim=24,width=0.5,input_size=32"
BATCH, CLASSES = 32, 1000


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_model(path, BACKBONES.create(TEACHER), TEACHER, Contract("teacher", (32, 32), embedding_dim=24))
    return path


def memory(names=None, **model):
    values = {"model": {"backbone": BACKBONE} | model, "data": {"train": "none", "batch_size": BATCH}}
    config = config_from_dict(values)
    data = StandIn(CLASSES, 5 * CLASSES)
    data.classes = names or data.classes
    mode = create_mode(config, data)
    return mode, step_memory(mode, config)


def taught(teacher, *losses):
    return memory(mode="distillation", teacher=str(teacher), distillation=list(losses))


def size(network):
    return sum(t.numel() * t.element_size() for t in network.state_dict().values())


def test_an_onlooker_takes_what_an_inference_does():
    network = BACKBONES.create(TEACHER).eval()
    look = Onlooker(network, (32, 32), BATCH, [(3, 8, 8)]).looking(torch.float32)
    with Living() as living:
        kept = look()
        now = living.now
    with torch.device("meta"):
        empty = BACKBONES.create(TEACHER)
    assert living.most == pytest.approx(peak_bytes(empty, (32, 32), BATCH) - size(network), rel=0.01)
    assert now == 4 * BATCH * (24 + 3 * 8 * 8) and len(kept) == 2
    assert not network.training and next(network.parameters()).device.type == "cpu"


def test_a_torch_teacher_is_counted_with_its_weights_and_the_maps_that_are_compared(teacher):
    plain = memory()[1]
    _, embeddings = taught(teacher, "cosine")
    mode, maps = taught(teacher, "cosine", "at")
    kept = 4 * BATCH * sum(c * h * w for c, h, w in (mode.teacher.map_shapes[s] for s in mode.stages))

    assert embeddings.teacher == maps.teacher == size(load_model(teacher)[0])
    assert maps.activations >= embeddings.activations >= plain.activations
    (onlooker,) = onlookers(mode, BATCH)
    look = onlooker.looking(torch.float32)
    with Living() as living:
        shown = look()
        assert living.now == kept + 4 * BATCH * 24
    assert len(shown) == 1 + len(mode.stages) and onlooker.images == BATCH


def test_a_teachers_head_and_logits_are_counted(teacher, tmp_path):
    _, plain = taught(teacher, "cosine")
    path = tmp_path / "head.safetensors"
    names = [f"person {number}" for number in range(CLASSES)]
    HeadFile("cosface", names, torch.randn(CLASSES, 24)).write(path)
    learnt = {"mode": "distillation", "teacher": str(teacher), "teacher_head": str(path)}
    _, found = memory(names, **learnt, distillation=["soft_target"])

    assert found.teacher == plain.teacher + 4 * CLASSES * 24
    assert found.logits >= plain.logits + 4 * BATCH * CLASSES


def test_an_onnx_teacher_keeps_what_it_has_once_taken(teacher, tmp_path):
    generator = torch.Generator().manual_seed(0)
    for number in range(2):
        crop = torch.randint(256, (32, 32, 3), dtype=torch.uint8, generator=generator).numpy()
        write_image(tmp_path / "crops" / f"{number}.png", crop)
    path = tmp_path / "teacher.onnx"
    export_onnx(teacher, path, tmp_path / "crops")

    mode, found = taught(path, "cosine")
    assert list(onlookers(mode, BATCH)) == []
    assert found.teacher == OnnxGraph(path, (32, 32), load_embedder(path).batch_size).peak_bytes()
    assert found.activations == activation_bytes(BACKBONE, BATCH)


def test_an_ensemble_that_teaches_is_counted_and_can_teach_still(teacher):
    mode, found = taught(f'ensemble:models=["{teacher}","{teacher}"]', "cosine")
    assert found.teacher >= 2 * size(load_model(teacher)[0])
    assert {p.device.type for member in mode.teacher.embed.members for p in member.model.parameters()} == {"cpu"}


def test_the_galleries_network_is_kept_and_looks_at_half_a_batch_at_a_time():
    plain = memory()[1]
    mode, found = memory(mode="semi_siamese:queue=8")

    assert found.weights - size(mode.head) == pytest.approx(2 * plain.weights, rel=0.02)
    assert [onlooker.images for onlooker in onlookers(mode, BATCH)] == [BATCH // 2]
    assert found.activations >= plain.activations
    assert found.teacher == 0
