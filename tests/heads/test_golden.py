"""Logits, losses and gradients of the original implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facezoo.heads import Classifier
from facezoo.heads.centres import products, split
from facezoo.registry import HEADS, LOSSES

pytestmark = pytest.mark.golden

LOGITS, GRADIENTS, FLOAT64 = 1e-5, 5e-5, 1e-9


def arc(meta):
    hyper = meta["hyper"]
    margin, scale = hyper.get("m", hyper.get("margin")), hyper.get("s", hyper.get("scale"))
    return f"arcface:margin={margin},scale={scale},easy_margin={hyper.get('easy_margin', False)}"


def cos(meta):
    hyper = meta["hyper"]
    return f"cosface:margin={hyper.get('m', hyper.get('margin'))},scale={hyper.get('s', hyper.get('scale'))}"


def facexzoo_arc(meta):
    hyper = meta["hyper"]
    return f"arcface:margin={hyper['margin_arc']},scale={hyper['scale']},fallback=cosine"


def mv(meta):
    hyper = meta["hyper"]
    kind = "am" if hyper["is_am"] else "arc"
    numbers = f"margin={hyper['margin']},weight={hyper['mv_weight']},scale={hyper['scale']}"
    return f"mvsoftmax:{numbers},kind={kind},easy_margin=true"


def combined(meta):
    hyper = meta["hyper"]
    # The original drops m1 and m2 where m3 is set.
    m2 = 0 if hyper["m3"] > 0 else hyper["m2"]
    threshold = hyper["interclass_filtering_threshold"]
    return f"combined:m1=1,m2={m2},m3={hyper['m3']},scale={hyper['s']},filter={threshold}"


EXACT = {
    "facexzoo__am_softmax": cos,
    "facexzoo__arcface": facexzoo_arc,
    "facexzoo__mv_softmax_am": mv,
    "facexzoo__mv_softmax_arc": mv,
    "evolve__arcface": arc,
    "evolve__arcface_easy": arc,
    "evolve__cosface": cos,
    "evolve__am_softmax_unit": cos,
    "evolve__am_softmax_jd": cos,
    "evolve__mv_softmax_am": mv,
    "evolve__mv_softmax_arc": mv,
    "tface__distfc_arcface": arc,
    "tface__distfc_cosface": cos,
    "tface__localfc_arcface": arc,
    "tface__localfc_arcface_easy": arc,
    "tface__localfc_cosface": cos,
    "insightface__cosface": cos,
    "insightface__combined_cos": combined,
    "insightface__combined_cos_filter": combined,
    "insightface__combined_m1_m2_m3": combined,
}
# insightface puts the angle in outside of autograd, so that its gradient is that of no margin: values only.
STRAIGHT_THROUGH = {
    "insightface__arcface": lambda meta: arc(meta) + ",fallback=none",
    "insightface__combined_arc": combined,
    "insightface__combined_arc_filter": combined,
}


def head_for(spec: str, weight: np.ndarray) -> Classifier:
    head = Classifier(weight.shape[1], weight.shape[0], HEADS.create(spec), LOSSES.create("cross_entropy"))
    head.weight = torch.nn.Parameter(torch.from_numpy(weight))
    return head


def case(golden_root: Path, size: str):
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        embeddings, weight, labels = (file[f"{size}.{part}"] for part in ("emb", "weight", "labels"))
        rows = file["large.rows"]
    if size == "small":
        embeddings, labels = embeddings[0], labels[0]
    return torch.from_numpy(embeddings), weight, torch.from_numpy(labels), rows


def close(golden, got, wanted, tolerance):
    _, relative = golden.diff(got.detach().numpy() if isinstance(got, torch.Tensor) else got, wanted)
    assert relative <= tolerance


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("name", [*EXACT, *STRAIGHT_THROUGH])
def test_logits_and_loss_are_the_originals(golden, golden_root, name, size):
    _, wanted, meta = golden.load(f"heads/{name}.npz")
    embeddings, weight, labels, _ = case(golden_root, size)
    head = head_for((EXACT | STRAIGHT_THROUGH)[name](meta), weight)

    close(golden, head.logits(embeddings, labels), wanted[f"{size}.logits"], LOGITS)
    close(golden, head(embeddings, labels)["classification"], wanted[f"{size}.ce"], LOGITS)


@pytest.mark.parametrize("name", [*EXACT, *STRAIGHT_THROUGH])
def test_float64_logits_are_the_originals(golden, golden_root, name):
    _, wanted, meta = golden.load(f"heads/{name}.npz")
    embeddings, weight, labels, _ = case(golden_root, "small")
    head = head_for((EXACT | STRAIGHT_THROUGH)[name](meta), weight.astype(np.float64))

    close(golden, head.logits(embeddings.double(), labels), wanted["small64.logits"], FLOAT64)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("name", EXACT)
def test_gradients_are_the_originals(golden, golden_root, name, size):
    _, wanted, meta = golden.load(f"heads/{name}.npz")
    embeddings, weight, labels, rows = case(golden_root, size)
    head = head_for(EXACT[name](meta), weight)
    embeddings.requires_grad_()

    head(embeddings, labels)["classification"].backward()

    close(golden, embeddings.grad, wanted[f"{size}.grad_emb"], GRADIENTS)
    if size == "small":
        close(golden, head.weight.grad, wanted["small.grad_weight"], GRADIENTS)
    else:
        close(golden, head.weight.grad[rows], wanted["large.grad_weight_rows"], GRADIENTS)
        close(golden, head.weight.grad.norm(dim=1), wanted["large.grad_weight_norms"], GRADIENTS)


@pytest.mark.parametrize("size", ["small", "large"])
def test_evolves_softmax_is_ours_with_a_bias(golden, golden_root, size):
    _, wanted, _ = golden.load("heads/evolve__softmax.npz")
    embeddings, weight, labels, rows = case(golden_root, size)
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        bias = torch.from_numpy(file[f"{size}.bias"])
    head = head_for("softmax", weight)
    embeddings.requires_grad_()

    logits = head.logits(embeddings, labels) + bias
    loss = head.loss(logits, labels)
    loss.backward()

    close(golden, logits, wanted[f"{size}.logits"], LOGITS)
    close(golden, loss, wanted[f"{size}.ce"], LOGITS)
    close(golden, embeddings.grad, wanted[f"{size}.grad_emb"], GRADIENTS)
    own = head.weight.grad if size == "small" else head.weight.grad[rows]
    close(golden, own, wanted["small.grad_weight" if size == "small" else "large.grad_weight_rows"], GRADIENTS)


def test_arcface_above_the_fallback_is_facexzoos_with_any_margin_am(golden, golden_root):
    _, wanted, meta = golden.load("heads/facexzoo__arcface_m50.npz")
    embeddings, weight, labels, _ = case(golden_root, "small")
    head = head_for(facexzoo_arc(meta), weight)
    embeddings.requires_grad_()

    logits = head.logits(embeddings, labels)
    head.loss(logits, labels).backward()

    cosine = target_cosines(embeddings.detach(), weight, labels)
    above = cosine > -np.cos(meta["hyper"]["margin_arc"])
    assert 0 < above.sum() < len(above)  # the others take cos(theta) - margin_am, a fallback we do not have
    close(golden, logits[above], wanted["small.logits"][above], LOGITS)
    close(golden, embeddings.grad[above], wanted["small.grad_emb"][above], GRADIENTS)


def target_cosines(embeddings, weight, labels):
    centres = torch.nn.functional.normalize(torch.from_numpy(weight))
    return (torch.nn.functional.normalize(embeddings) * centres[labels]).sum(1).numpy()


def test_focal_on_the_batch_mean_is_evolves(golden, golden_root):
    _, wanted, meta = golden.load("heads/evolve__focal_on_arcface.npz")
    hyper = meta["hyper"]
    embeddings, weight, labels, _ = case(golden_root, "small")
    head = head_for(f"arcface:margin={hyper['m']},scale={hyper['s']}", weight)
    head.loss = LOSSES.create(f"focal:gamma={hyper['gamma']},reduction=batch_mean")
    embeddings.requires_grad_()

    loss = head(embeddings, labels)["classification"]
    loss.backward()

    close(golden, head.logits(embeddings, labels), wanted["logits"], LOGITS)
    close(golden, loss, wanted["loss"], LOGITS)
    close(golden, embeddings.grad, wanted["grad_emb"], GRADIENTS)
    close(golden, head.weight.grad, wanted["grad_weight"], GRADIENTS)


def test_combined_logits_with_missing_labels_are_insightfaces(golden, golden_root):
    _, wanted, meta = golden.load("heads/insightface__combined_margin_missing_labels.npz")
    embeddings, weight, _, _ = case(golden_root, "small")
    labels = torch.from_numpy(wanted["labels"])
    for kind, hyper in meta["hyper"].items():
        spec = combined({"hyper": {"interclass_filtering_threshold": 0, **hyper}})
        head = head_for(spec, weight)
        cosine = products(split(embeddings)[0], head.weight)
        close(
            golden, head.margin(cosine, labels, embeddings.norm(dim=1, keepdim=True)), wanted[f"{kind}.logits"], LOGITS
        )
