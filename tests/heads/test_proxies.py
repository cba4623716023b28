"""Proxy-NCA and Proxy-Anchor against the papers' formulas, sample by sample."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from facezoo.heads import create_head
from facezoo.types import InputError


def head_of(spec: str, loss: str):
    torch.manual_seed(0)
    return create_head(spec, 6, 9, loss).double()


def batch():
    torch.manual_seed(1)
    return torch.randn(7, 6, dtype=torch.float64) * 3, torch.tensor([0, 4, 4, 8, 2, 0, 4])


def unit(head, embeddings):
    return F.normalize(embeddings).tolist(), F.normalize(head.weight.detach()).tolist()


def test_proxy_nca_is_the_papers_formula():
    head, (embeddings, labels) = head_of("normface:scale=2", "proxy_nca"), batch()
    images, proxies = unit(head, embeddings)
    total = 0.0
    for image, label in zip(images, labels.tolist(), strict=True):
        near = [math.exp(-(math.dist(image, proxy) ** 2)) for proxy in proxies]
        total -= math.log(near[label] / (sum(near) - near[label]))
    found = head(embeddings, labels)["classification"]
    assert found.item() == pytest.approx(total / len(images), rel=1e-12)


def test_proxy_anchor_is_the_papers_formula():
    head, (embeddings, labels) = head_of("proxyanchor:margin=0.2,scale=5", "proxy_anchor"), batch()
    images, proxies = unit(head, embeddings)
    pull, push = 0.0, 0.0
    for number, proxy in enumerate(proxies):
        cosines = [sum(a * b for a, b in zip(image, proxy, strict=True)) for image in images]
        own = [c for c, label in zip(cosines, labels.tolist(), strict=True) if label == number]
        others = [c for c, label in zip(cosines, labels.tolist(), strict=True) if label != number]
        pull += math.log(1 + sum(math.exp(-5 * (c - 0.2)) for c in own)) if own else 0.0
        push += math.log(1 + sum(math.exp(5 * (c + 0.2)) for c in others))
    wanted = pull / len(set(labels.tolist())) + push / len(proxies)
    assert head(embeddings, labels)["classification"].item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("spec", "loss"), [("normface:scale=2", "proxy_nca"), ("proxyanchor:scale=4", "proxy_anchor")])
def test_gradients_are_those_of_finite_differences(spec, loss):
    head, (embeddings, labels) = head_of(spec, loss), batch()

    def value(embeddings, weight):
        return torch.func.functional_call(head, {"weight": weight}, (embeddings, labels))["classification"]

    inputs = embeddings.requires_grad_(), (head.weight.detach() * 50).requires_grad_()
    assert torch.autograd.gradcheck(value, inputs)


@pytest.mark.parametrize(("spec", "loss"), [("normface:scale=64", "proxy_nca"), ("proxyanchor", "proxy_anchor")])
def test_perfect_and_opposite_embeddings_have_finite_gradients(spec, loss):
    head, labels = create_head(spec, 6, 9, loss), torch.arange(6)
    for sign in (1, -1):
        embeddings = (sign * head.weight[:6].detach() * 1e3).requires_grad_()
        found = head(embeddings, labels)["classification"]
        found.backward()
        assert torch.isfinite(found) and torch.isfinite(embeddings.grad).all()


def test_a_margin_that_is_none_is_refused():
    with pytest.raises(InputError, match="margin is -1"):
        create_head("proxyanchor:margin=-1", 6, 9)
