"""Losses and gradients of the original implementations: FaceX-Zoo's KDF and TFace's EKD."""

import json

import numpy as np
import pytest
import torch

from facezoo.distillation import create_distillation
from facezoo.distillation.factor_transfer import Paraphraser, Translator, factor_distance

pytestmark = pytest.mark.golden

PARITY, FLOAT64 = 2e-5, 1e-9
LOOSER = {"pkt": 1e-6}  # the original adds 1e-6 to the lengths of the embeddings
LABELS = torch.arange(16) // 2

EMBEDDINGS = {
    "pkt": ("facexzoo_kdf", "pkt"),
    "cosine": ("tface_ekd_tasks", "cosine"),
    "hint": ("tface_ekd_tasks", "mse"),
    "rkd_25_50": ("tface_ekd_tasks", "rkd"),
    "cc": ("tface_ekd_tasks", "cc@tface"),
    "darkrank_3_3_3": ("tface_ekd_tasks", "darkrank"),
    "similarity_preserving": ("tface_ekd_tasks", "sp"),
}
LOGITS = {
    "snn_mimic": ("facexzoo_kdf", "snn_mimic"),
    "soft_target": ("facexzoo_kdf", "soft_target"),
    "kl_t4": ("tface_ekd_tasks", "kl@tface"),
}


@pytest.fixture(scope="module")
def fixtures(golden):
    return {name: golden.load(f"distillation/{name}.npz")[:2] for name in ("facexzoo_kdf", "tface_ekd_tasks")}


def create(spec, **given):
    (loss,) = create_distillation([spec], **{"student_maps": [], "teacher_maps": [], **given}).values()
    return loss


def check(found, gradients, wanted, name):
    """The loss and its gradients in float32 and, of the loss, in float64."""
    value, exact = found
    assert abs(value - wanted[f"{name}.loss"]) <= PARITY * abs(wanted[f"{name}.loss"])
    assert abs(exact - wanted[f"{name}.loss64"]) <= LOOSER.get(name, FLOAT64) * abs(wanted[f"{name}.loss64"])
    for key, gradient in gradients.items():
        reference = wanted[f"{name}.{key}"]
        assert np.abs(gradient - reference).max() <= PARITY * np.abs(reference).max(), key


def run(compute, inputs, keys):
    """Values in float32 and float64, and the gradients in float32 by the name of the student's input."""
    values, gradients = [], {}
    for dtype in (torch.float32, torch.float64):
        student = {key: torch.from_numpy(inputs[key]).to(dtype).requires_grad_() for key in keys}
        value = compute(student, lambda key, dtype=dtype: torch.from_numpy(inputs[key]).to(dtype))
        value.backward()
        values.append(value.item())
        gradients = gradients or {key: tensor.grad.numpy() for key, tensor in student.items()}
    return values, gradients


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embeddings(fixtures, name):
    file, spec = EMBEDDINGS[name]
    inputs, wanted = fixtures[file]
    found, gradients = run(
        lambda student, teacher: create(spec)(student["feat_s"], teacher("feat_t"), LABELS), inputs, ["feat_s"]
    )
    check(found, {"grad_s": gradients["feat_s"]}, wanted, name)


@pytest.mark.parametrize("name", LOGITS)
def test_logits(fixtures, name):
    file, spec = LOGITS[name]
    inputs, wanted = fixtures[file]
    found, gradients = run(
        lambda student, teacher: create(spec)(student["logits_s"], teacher("logits_t")), inputs, ["logits_s"]
    )
    check(found, {"grad_s": gradients["logits_s"]}, wanted, name)


def shapes(tensors):
    return [tuple(tensor.shape[1:]) for tensor in tensors]


def test_hint(fixtures):
    inputs, wanted = fixtures["facexzoo_kdf"]
    maps = {"student_maps": [(16, 7, 7)], "teacher_maps": [(16, 7, 7)]}
    found, gradients = run(
        lambda student, teacher: create("fitnet", **maps)([student["map_s"]], [teacher("map_t")]), inputs, ["map_s"]
    )
    check(found, {"grad_s": gradients["map_s"]}, wanted, "fitnet")


def test_factors(fixtures):
    inputs, wanted = fixtures["facexzoo_kdf"]
    found, gradients = run(
        lambda student, teacher: factor_distance(student["map_s"], teacher("map_t")).mean(), inputs, ["map_s"]
    )
    check(found, {"grad_s": gradients["map_s"]}, wanted, "ft")


@pytest.mark.parametrize("first", [1, 2, 3])
def test_flow_between_two_stages(fixtures, first):
    inputs, wanted = fixtures["facexzoo_kdf"]
    stages = [f"stage{first}", f"stage{first + 1}"]

    def compute(student, teacher):
        own, target = [student[f"{s}_s"] for s in stages], [teacher(f"{s}_t") for s in stages]
        return create("fsp", student_maps=shapes(own), teacher_maps=shapes(target))(own, target)

    keys = [f"{stage}_s" for stage in stages]
    found, gradients = run(compute, inputs, keys)
    named = {f"grad_s{number}": gradients[key] for number, key in enumerate(keys, start=1)}
    check(found, named, wanted, f"fsp{first}")


def test_flow_between_all_stages(fixtures):
    inputs, wanted = fixtures["facexzoo_kdf"]
    stages = [f"stage{number}" for number in (1, 2, 3, 4)]

    def compute(student, teacher):
        own, target = [student[f"{s}_s"] for s in stages], [teacher(f"{s}_t") for s in stages]
        return create("fsp", student_maps=shapes(own), teacher_maps=shapes(target))(own, target)

    found, _ = run(compute, inputs, [f"{stage}_s" for stage in stages])
    check(found, {}, wanted, "fsp_mean")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_evaluation_oriented_distillation_and_its_thresholds(fixtures, dtype):
    inputs, wanted = fixtures["tface_ekd_tasks"]
    loss = create("ekd@tface").to(dtype)
    labels = torch.from_numpy(inputs["ekd_labels"])
    for step in range(2):
        student = torch.from_numpy(inputs["ekd_s"][step]).to(dtype).requires_grad_()
        value = loss(student, torch.from_numpy(inputs["ekd_t"][step]).to(dtype), labels)
        value.backward()
        prefix = f"ekd.step{step}"
        if dtype == torch.float64:
            assert abs(value.item() - wanted[f"{prefix}.loss64"]) <= FLOAT64 * wanted[f"{prefix}.loss64"]
        assert abs(value.item() - wanted[f"{prefix}.loss"]) <= PARITY * wanted[f"{prefix}.loss"]
        for found, key in (
            (student.grad, "grad_s"),
            (loss.student_anchors, "s_anchor"),
            (loss.teacher_anchors, "t_anchor"),
        ):
            reference = wanted[f"{prefix}.{key}"]
            assert np.abs(found.numpy() - reference).max() <= PARITY * np.abs(reference).max(), key


def test_paraphraser_and_translator(golden, golden_fill):
    inputs, wanted, _ = golden.load("distillation/facexzoo_kdf_paraphraser.npz")
    keys, salt = json.loads(str(wanted["key_spec"])), str(inputs["salt"])
    found = {}
    for name, network, maps in (
        ("paraphraser", Paraphraser(32), inputs["x_t"]),
        ("translator", Translator(24, 32), inputs["x_s"]),
    ):
        assert [key for key, *_ in keys[name]] == list(network.state_dict())
        filled = golden_fill.fill(keys[name], salt, 2.0)
        network.load_state_dict({key: torch.from_numpy(array) for key, array in filled.items()})
        with torch.no_grad():
            found[name] = network.eval()(torch.from_numpy(maps))
    pairs = {
        "paraphraser.factor": found["paraphraser"][0],
        "paraphraser.reconstruction": found["paraphraser"][1],
        "translator.factor": found["translator"],
    }
    for key, tensor in pairs.items():
        assert np.abs(tensor.numpy() - wanted[key]).max() <= PARITY * np.abs(wanted[key]).max(), key


def test_every_array_is_compared(golden):
    """Losses, gradients and thresholds by name; what is not in this list was forgotten."""
    kdf, tface = (golden.load(f"distillation/{name}.npz")[1] for name in ("facexzoo_kdf", "tface_ekd_tasks"))
    compared = {name for name, (file, _) in {**EMBEDDINGS, **LOGITS}.items() if file == "facexzoo_kdf"}
    assert {key.split(".")[0] for key in kdf} == compared | {"fitnet", "ft", "fsp1", "fsp2", "fsp3", "fsp_mean"}
    compared = {name for name, (file, _) in {**EMBEDDINGS, **LOGITS}.items() if file == "tface_ekd_tasks"}
    assert {key.split(".")[0] for key in tface} == compared | {"ekd"}
