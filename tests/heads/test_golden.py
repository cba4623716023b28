"""Logits, losses, gradients and states of the original implementations."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facezoo.heads import Classifier, classifier, create_head
from facezoo.heads.centres import products, split
from facezoo.registry import HEADS

pytestmark = pytest.mark.golden

LOGITS, GRADIENTS, FLOAT64 = 1e-5, 5e-5, 1e-9

SPECS = {
    "evolve__adacos": "adacos",
    "evolve__am_softmax_jd": "amsoftmax@evolve",
    "evolve__am_softmax_unit": "amsoftmax",
    "evolve__arcface": "arcface",
    "evolve__arcface_easy": "arcface:easy_margin=true",
    "evolve__arcnegface": "arcnegface",
    "evolve__circleloss": "circleloss",
    "evolve__cosface": "cosface",
    "evolve__curricularface": "curricularface",
    "evolve__magface": "magface@evolve",
    "evolve__mv_softmax_am": "mvsoftmax@evolve",
    "evolve__mv_softmax_arc": "mvsoftmax@evolve:kind=arc",
    "evolve__npcface": "npcface",
    "evolve__softmax": "softmax@evolve",
    "evolve__sphereface": "sphereface",
    "evolve__sphereface_annealed": "sphereface",
    "facexzoo__adacos": "adacos",
    "facexzoo__adam_softmax": "adamsoftmax@facexzoo",
    "facexzoo__am_softmax": "amsoftmax@facexzoo",
    "facexzoo__arcface": "arcface@facexzoo",
    "facexzoo__arcface_m50": "arcface@facexzoo:margin=0.5,scale=64,fallback_margin=0.2",
    "facexzoo__arcnegface": "arcnegface",
    "facexzoo__circleloss": "circleloss",
    "facexzoo__curricularface": "curricularface",
    "facexzoo__magface": "magface@facexzoo",
    "facexzoo__mv_softmax_am": "mvsoftmax@facexzoo",
    "facexzoo__mv_softmax_arc": "mvsoftmax@facexzoo:kind=arc",
    "facexzoo__npcface": "npcface@facexzoo",
    "insightface__arcface": "arcface@insightface",
    "insightface__combined_arc": "combined@insightface",
    "insightface__combined_arc_filter": "combined@insightface:filter=0.4",
    "insightface__combined_cos": "combined:m1=1,m2=0,m3=0.4",
    "insightface__combined_cos_filter": "combined:m1=1,m2=0,m3=0.4,filter=0.4",
    "insightface__combined_m1_m2_m3": "combined:m1=1,m2=0,m3=0.2",  # the original drops m1 and m2 where m3 is set
    "insightface__cosface": "cosface@insightface",
    "tface__distfc_arcface": "arcface",
    "tface__distfc_cosface": "cosface@tface",
    "tface__distfc_curricularface": "curricularface@tface",
    "tface__distfc_normface": "normface",
    "tface__localfc_arcface": "arcface",
    "tface__localfc_arcface_easy": "arcface:easy_margin=true",
    "tface__localfc_cosface": "cosface@tface",
    "tface__localfc_curricularface": "curricularface@tface",
}
START = {
    "evolve__softmax": ("bias", "bias"),
    "facexzoo__adam_softmax": ("margins", "adam"),
}
"""Parameters of a margin, and the inputs they start from."""

STATE = {
    "adacos": lambda margin: margin.scale,
    "curricularface": lambda margin: margin.t,
    "sphereface": lambda margin: margin.annealing(torch.zeros((), dtype=torch.float64)),
}


def inputs(golden_root: Path, size: str):
    """Embeddings (steps, B, D), labels (steps, B), centres (C, D) and all that is shared."""
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        shared = {key: file[key] for key in file.files if key.partition(".")[0] in (size, "large")}
    embeddings, labels = (torch.from_numpy(shared[f"{size}.{part}"]) for part in ("emb", "labels"))
    if size == "large":
        embeddings, labels = embeddings[None], labels[None]
    return embeddings, labels, torch.from_numpy(shared[f"{size}.weight"]), shared


def head_for(spec: str, weight: torch.Tensor, **options) -> Classifier:
    head = create_head(spec, weight.shape[1], weight.shape[0], **options)
    head.weight = torch.nn.Parameter(weight.clone())
    return head


def close(golden, got, wanted, tolerance, what=""):
    got = got.detach().numpy() if isinstance(got, torch.Tensor) else got
    assert np.shape(np.squeeze(got)) == np.shape(np.squeeze(wanted)), what
    _, relative = golden.diff(np.squeeze(got), np.squeeze(wanted))
    assert relative <= tolerance, f"{what}: {relative:.1e}"


def steps_of(name: str, size: str, dtype: torch.dtype, meta: dict, golden_root: Path) -> list[dict[str, torch.Tensor]]:
    """What the head gives in every step, under the golden file's names; the centres stay."""
    embeddings, labels, weight, shared = inputs(golden_root, size)
    head = head_for(SPECS[name], weight).to(dtype)
    if name in START:
        parameter, given = START[name]
        getattr(head.margin, parameter).data = torch.from_numpy(shared[f"{size}.{given}"]).to(dtype)
    if SPECS[name] == "adacos":
        head.margin.scale.fill_(math.sqrt(2) * math.log(len(weight) - 1))  # in the run's precision
    if "iter_before" in meta["hyper"]:
        head.margin.iteration.fill_(meta["hyper"]["iter_before"])
    given_steps = (meta["steps"] or 1) if size == "small" else 1
    found = []
    for step in range(given_steps):
        own = embeddings[step].to(dtype).requires_grad_()
        head.zero_grad()
        losses = head(own, labels[step])
        total = sum(losses.values())
        total.backward()
        state = STATE.get(SPECS[name].partition("@")[0], lambda margin: torch.zeros(()))(head.margin)
        results = {
            "ce": losses["classification"],
            "loss": total,
            "grad_emb": own.grad,
            "grad_weight": head.weight.grad,
            "grad_weight_rows": head.weight.grad[shared["large.rows"]] if size == "large" else None,
            "grad_weight_norms": head.weight.grad.norm(dim=1),
            "state": state.clone().reshape(1),
        }
        if name in START:
            parameter, given = START[name]
            results[f"grad_{given}"] = getattr(head.margin, parameter).grad
            results[f"{given}_after"] = getattr(head.margin, parameter)
        if "penalty" in losses:
            results["penalty"] = losses["penalty"]
        head.eval()  # the step's state stays
        results["logits"] = head.logits(own, labels[step])
        head.train()
        found.append({key: value.detach().clone() for key, value in results.items() if value is not None})
    return found


def compare(golden, golden_root, name: str, prefix: str, dtype: torch.dtype, tolerances: tuple[float, float]) -> None:
    _, wanted, meta = golden.load(f"heads/{name}.npz")
    size = prefix.removesuffix("64")
    found = steps_of(name, size, dtype, meta, golden_root)
    compared = set()
    for key, value in wanted.items():
        kind, _, part = key.partition(".")
        if kind != prefix or part in ("origin_logits", "part_labels"):  # TFace hands out its cosines and labels too
            continue
        tolerance = tolerances[1] if part.startswith("grad") else tolerances[0]
        if part == "extra":  # one value a sample, or one
            close(golden, found[0]["penalty"], value.mean(), tolerance, part)
        elif len(found) == 1:
            close(golden, found[0][part], value, tolerance, part)
        else:
            chosen = [found[0], found[-1]] if part == "grad_weight" else found
            close(golden, torch.stack([step[part] for step in chosen]), value, tolerance, part)
        compared.add(part)
    assert compared >= ({"loss"} if prefix == "small64" else {"logits", "ce", "loss", "grad_emb"})


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("name", SPECS)
def test_a_head_is_the_original(golden, golden_root, name, size):
    compare(golden, golden_root, name, size, torch.float32, (LOGITS, GRADIENTS))


@pytest.mark.parametrize("name", [name for name in SPECS if name != "evolve__sphereface_annealed"])
def test_a_head_is_the_original_in_float64(golden, golden_root, name):
    compare(golden, golden_root, name, "small64", torch.float64, (FLOAT64, FLOAT64))


def test_every_original_margin_is_compared(golden_root):
    elsewhere = ("sst", "hsst", "contrastive", "triplet", "ddl", "scf", "cifp", "inputs", "focal", "partial", "shards")
    names = {path.stem for path in (golden_root / "heads").glob("*.npz")}
    margins = {name for name in names if not any(word in name for word in elsewhere)}
    # face.evoLVe's Am_softmax clamps inner products of embeddings that are not normalised: not to be had.
    assert margins - {"evolve__am_softmax", "insightface__combined_margin_missing_labels"} == set(SPECS)


def test_focal_on_the_batch_mean_is_evolves(golden, golden_root):
    _, wanted, meta = golden.load("heads/evolve__focal_on_arcface.npz")
    hyper = meta["hyper"]
    embeddings, labels, weight, _ = inputs(golden_root, "small")
    spec, focal = f"arcface:margin={hyper['m']},scale={hyper['s']}", "focal@evolve"
    head, own = head_for(spec, weight, loss=focal), embeddings[0].requires_grad_()

    loss = head(own, labels[0])["classification"]
    loss.backward()

    close(golden, head.logits(own, labels[0]), wanted["logits"], LOGITS)
    close(golden, loss, wanted["loss"], LOGITS)
    close(golden, own.grad, wanted["grad_emb"], GRADIENTS)
    close(golden, head.weight.grad, wanted["grad_weight"], GRADIENTS)
    exact = head_for(spec, weight, loss=focal).double()
    close(golden, exact(embeddings[0].double(), labels[0])["classification"], wanted["loss64"], FLOAT64)


def test_combined_logits_with_missing_labels_are_insightfaces(golden, golden_root):
    _, wanted, meta = golden.load("heads/insightface__combined_margin_missing_labels.npz")
    embeddings, _, weight, _ = inputs(golden_root, "small")
    labels = torch.from_numpy(wanted["labels"])
    directions, norms = split(embeddings[0])
    for kind, hyper in meta["hyper"].items():
        threshold = hyper.get("interclass_filtering_threshold", 0)
        margin = HEADS.create(f"combined:m1=1,m2={hyper['m2']},m3={hyper['m3']},filter={threshold}")
        logits = margin(products(directions, weight), labels, norms)
        close(golden, logits, wanted[f"{kind}.logits"], LOGITS)


@pytest.mark.parametrize(("kind", "spec"), [("arcface", "arcface"), ("cosface", "cosface@tface")])
def test_logits_of_a_part_of_the_classes_are_tfaces(golden, golden_root, kind, spec):
    _, wanted, meta = golden.load("heads/tface__distfc_shards.npz")
    embeddings, _, weight, _ = inputs(golden_root, "small")
    directions, norms = split(embeddings[0])
    for rank, own in enumerate(weight.split(meta["hyper"]["class_split"])):
        columns = torch.from_numpy(wanted[f"{kind}.rank{rank}.part_labels"]).long()
        logits = HEADS.create(spec)(products(directions, own), columns, norms)
        close(golden, logits, wanted[f"{kind}.rank{rank}.logits"], LOGITS)


def sampled(monkeypatch, spec, weight, classes) -> Classifier:
    """A head whose sample is given."""
    monkeypatch.setattr(classifier, "sample_rows", lambda *_: torch.from_numpy(classes).long())
    return head_for(spec, weight, sample_rate=0.5)


def test_a_sampled_step_is_tfaces(golden, golden_root, monkeypatch):
    _, wanted, _ = golden.load("heads/tface__partial_fc.npz")
    embeddings, labels, weight, _ = inputs(golden_root, "small")
    head = sampled(monkeypatch, "cosface@tface", weight, wanted["sampled_classes"])
    own = embeddings[0].requires_grad_()

    loss = head(own, labels[0])["classification"]
    loss.backward()

    gradient = head.weight.grad.coalesce()
    assert gradient.indices()[0].tolist() == wanted["sampled_classes"].tolist()
    close(golden, head.logits(own, labels[0]), wanted["logits"], LOGITS)
    close(golden, loss, wanted["loss"], LOGITS)
    close(golden, own.grad, wanted["grad_emb"], GRADIENTS)
    close(golden, gradient.values(), wanted["grad_sub_weight"], GRADIENTS)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("full_arc", "combined@insightface"), ("full_cos", "cosface@insightface"), ("sampled_cos", "cosface@insightface")],
)
def test_a_step_of_insightfaces_partial_fc_is_the_original(golden, golden_root, monkeypatch, kind, spec):
    _, wanted, _ = golden.load("heads/insightface__partial_fc_v2.npz")
    embeddings, labels, weight, _ = inputs(golden_root, "small")
    head, columns = head_for(spec, weight), labels[0]
    if kind == "sampled_cos":
        classes = wanted["sampled_cos.sampled_classes"]
        head = sampled(monkeypatch, spec, weight, classes)
        columns = torch.searchsorted(torch.from_numpy(classes), columns)
    own = embeddings[0].requires_grad_()

    head(own, labels[0])["classification"].backward()

    # Its loss, not its gradient, stops at a probability of 1e-30.
    rows = F.cross_entropy(head.logits(own, labels[0]), columns, reduction="none")
    close(golden, rows.clamp(max=-math.log(1e-30)).mean(), wanted[f"{kind}.loss"], LOGITS)
    close(golden, own.grad, wanted[f"{kind}.grad_emb"], GRADIENTS)
    close(golden, head.weight.grad.to_dense(), wanted[f"{kind}.grad_weight"], GRADIENTS)
