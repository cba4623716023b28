"""Updates by rows: equal to the dense ones where a row takes part, nothing elsewhere; bfloat16 that learns."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.config import OptimConfig
from facezoo.heads import create_head
from facezoo.optim import create_optimizer, parameter_groups

CONFIGS = {
    "sgd": OptimConfig(lr=0.1, momentum=0, weight_decay=0),
    "momentum": OptimConfig(lr=0.1, weight_decay=0.01),
    "nesterov": OptimConfig(lr=0.1, nesterov=True, weight_decay=0.01),
    "adamw": OptimConfig(name="adamw", lr=0.01, weight_decay=0.1),
}
SHAPES = {"centres": (40, 6), "sub-centres": (40, 3, 6)}


def optimizer_of(parameter: nn.Parameter, config: OptimConfig) -> torch.optim.Optimizer:
    return create_optimizer([{"params": [parameter], "lr_scale": 1.0, "weight_decay": config.weight_decay}], config)


def sparse(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    return torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=True)


def sampled(step: int, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Sorted rows and their gradient in one step."""
    generator = torch.Generator().manual_seed(step)
    rows = torch.randperm(shape[0], generator=generator)[:15].sort().values
    return rows, torch.randn(15, *shape[1:], generator=generator)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_rows_move_as_if_each_had_an_optimiser_of_its_own(config, shape, monkeypatch):
    monkeypatch.setitem(create_optimizer.__globals__["BLOCK_BYTES"], "cpu", 4 * 6 * 4)  # several blocks a step
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(shape))
    optimizer = optimizer_of(weight, config)
    alone = [nn.Parameter(row.clone()) for row in weight.detach()]
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.SGD
    options = {"betas": config.betas} if config.name == "adamw" else {}
    if config.name == "sgd":
        options = {"momentum": config.momentum, "nesterov": config.nesterov}
    theirs = [kind([row], lr=config.lr, weight_decay=config.weight_decay, **options) for row in alone]

    for step in range(8):
        rows, values = sampled(step, weight.shape)
        weight.grad = sparse(rows, values, weight.shape)
        optimizer.step()
        for row, value in zip(rows.tolist(), values, strict=True):
            alone[row].grad = value.clone()
            theirs[row].step()

    torch.testing.assert_close(weight.detach(), torch.stack([row.detach() for row in alone]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_rows_that_take_no_part_stay_bit_for_bit(config):
    weight = nn.Parameter(torch.randn(40, 6))
    optimizer = optimizer_of(weight, config)
    for step in range(3):
        before, state = weight.detach().clone(), copy.deepcopy(optimizer.state_dict()["state"])
        rows, values = sampled(step, weight.shape)
        weight.grad = sparse(rows, values, weight.shape)
        optimizer.step()
        others = torch.ones(40, dtype=torch.bool).index_fill(0, rows, False)

        assert torch.equal(weight.detach()[others], before[others])
        assert not (weight.detach()[rows] == before[rows]).all(1).any()
        for name, value in state.get(0, {}).items():
            assert torch.equal(optimizer.state[weight][name][others], value[others]), name


def test_every_state_entry_has_the_classes_first():
    for config in CONFIGS.values():
        weight = nn.Parameter(torch.randn(40, 6))
        optimizer = optimizer_of(weight, config)
        weight.grad = sparse(*sampled(0, weight.shape), weight.shape)
        optimizer.step()
        assert all(len(value) == 40 for value in optimizer.state_dict()["state"].get(0, {}).values())


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_repeated_rows_of_accumulated_batches_count_together(config):
    once, twice = nn.Parameter(torch.ones(40, 6)), nn.Parameter(torch.ones(40, 6))
    rows, values = sampled(0, once.shape)
    once.grad = sparse(rows, 3 * values, once.shape)
    twice.grad = sparse(torch.cat([rows, rows.flip(0)]), torch.cat([values, 2 * values.flip(0)]), once.shape)
    for parameter in (once, twice):
        optimizer_of(parameter, config).step()
    torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_step_resumed_from_its_state_is_the_same(config):
    def run(stop: int) -> Tensor:
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(40, 6).bfloat16())
        optimizer = optimizer_of(weight, config)
        for step in range(6):
            if step == stop:
                state, values = copy.deepcopy(optimizer.state_dict()), weight.detach().clone()
                weight = nn.Parameter(values)
                optimizer = optimizer_of(weight, config)
                optimizer.load_state_dict(state)
            rows, values = sampled(step, weight.shape)
            weight.grad = sparse(rows, values.bfloat16(), weight.shape)
            optimizer.step()
        return weight.detach()

    assert torch.equal(run(stop=3), run(stop=-1))


def test_dense_parameters_beside_sparse_ones_move_as_fused_sgd_moves_them():
    torch.manual_seed(0)
    centres, dense, plain = nn.Parameter(torch.randn(40, 6)), nn.Parameter(torch.randn(5, 5)), nn.Parameter()
    plain.data = dense.detach().clone()
    config = CONFIGS["momentum"]
    groups = [{"params": [centres, dense], "lr_scale": 1.0, "weight_decay": 0.01}]
    optimizer = create_optimizer(groups, config)
    reference = torch.optim.SGD([plain], lr=0.1, momentum=0.9, weight_decay=0.01, fused=True)
    for step in range(4):
        centres.grad = sparse(*sampled(step, centres.shape), centres.shape)
        dense.grad, plain.grad = torch.full((5, 5), step + 0.5), torch.full((5, 5), step + 0.5)
        optimizer.step()
        reference.step()
    assert torch.equal(dense, plain)
    assert centres.grad is not None and centres.grad.is_sparse  # only zero_grad clears a gradient


@pytest.mark.parametrize("unscaled", [True, False], ids=["unscaled before", "unscaled by the step"])
@pytest.mark.parametrize("low", [False, True], ids=["fp32", "bf16"])
def test_a_gradient_scaler_scales_and_skips(unscaled, low):
    torch.manual_seed(0)
    start = torch.randn(40, 6)
    weight = nn.Parameter(start.bfloat16() if low else start.clone())
    start = weight.detach().clone()
    optimizer = optimizer_of(weight, CONFIGS["sgd"])
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    rows, values = sampled(0, weight.shape)

    def step(gradient: Tensor) -> None:
        scaler.scale(torch.ones(()))
        weight.grad = sparse(rows, (gradient * scaler.get_scale()).to(weight.dtype), weight.shape)
        if unscaled:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()

    step(torch.full_like(values, torch.inf))
    assert torch.equal(weight.detach(), start) and scaler.get_scale() == 512
    step(values)
    wanted = start.float().index_add(0, rows, -0.1 * values)
    torch.testing.assert_close(weight.detach().float(), wanted, atol=0.03 if low else 1e-6, rtol=1e-2 if low else 1e-5)


@pytest.mark.parametrize("rows", [None, torch.arange(0, 4000, 2)], ids=["dense", "sparse"])
def test_updates_below_a_bfloat16_step_arrive_on_average(rows):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.ones(4000, 8, dtype=torch.bfloat16))
    optimizer = optimizer_of(weight, OptimConfig(lr=1.0, momentum=0, weight_decay=0))
    gradient = torch.full((4000 if rows is None else len(rows), 8), 2.0**-12, dtype=torch.bfloat16)
    for _ in range(16):  # each is a 16th of the distance to the next number below 1
        weight.grad = gradient if rows is None else sparse(rows, gradient, weight.shape)
        optimizer.step()
    moved = weight.detach().float() if rows is None else weight.detach()[rows].float()

    assert moved.mean() == pytest.approx(1 - 16 * 2.0**-12, abs=2e-4)
    assert torch.equal(torch.ones(8, dtype=torch.bfloat16) - gradient[0], torch.ones(8, dtype=torch.bfloat16))
    if rows is not None:
        assert (weight.detach()[1::2] == 1).all()


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_dense_bfloat16_moves_on_average_as_float32_does(name):
    config = OptimConfig(name=name, lr=0.01, weight_decay=0.1)
    low, full = (nn.Parameter(torch.linspace(-2, 2, 9).repeat(3000, 1).to(t)) for t in (torch.bfloat16, torch.float32))
    torch.manual_seed(0)
    for parameter in (low, full):
        optimizer = optimizer_of(parameter, config)
        for step in range(20):
            parameter.grad = torch.full_like(parameter, 0.25 + step % 2)
            optimizer.step()
    torch.testing.assert_close(low.detach().float().mean(0), full.detach().mean(0), atol=2e-3, rtol=2e-3)


def test_scalars_and_vectors_in_bfloat16_move_too():
    for shape in ((), (5,), (2, 3, 3, 3)):
        weight = nn.Parameter(torch.ones(shape, dtype=torch.bfloat16))
        optimizer = optimizer_of(weight, CONFIGS["momentum"])
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        assert weight.shape == shape and (weight < 1).all()


@pytest.mark.parametrize("options", [{}, {"sample_rate": 0.5}, {"sub_centres": 2}], ids=str)
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_bfloat16_centres_learn_what_float32_centres_learn(name, options):
    people = F.normalize(torch.randn(30, 16, generator=torch.Generator().manual_seed(0)))
    labels = torch.arange(30).repeat(8)
    noise = torch.randn(240, 16, generator=torch.Generator().manual_seed(1))
    embeddings = people[labels] + 0.1 * noise
    config = OptimConfig(name=name, lr=0.1 if name == "sgd" else 0.02)

    def losses(centres: str) -> list[float]:
        torch.manual_seed(0)
        head = create_head("cosface:margin=0.2,scale=16", 16, 30, centres=centres, **options)
        optimizer = create_optimizer(parameter_groups(head, config), config)
        for _ in range(150):
            optimizer.zero_grad()
            head(embeddings, labels)["classification"].backward()
            optimizer.step()
        head.eval()
        with torch.no_grad():
            return [float(head(embeddings, labels)["classification"]), float(head.weight.norm())]

    full, low = losses("fp32"), losses("bf16")
    assert full[0] < 0.5
    assert low == pytest.approx(full, rel=0.1)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_step_that_the_gradient_scaler_skips_leaves_nothing_behind(name):
    """fp16's first scale overflows nearly always: the next step must start from no momentum at all."""
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(True)  # memory that nobody has written is NaN
    try:
        weights = []
        for overflows in (0, 3):
            torch.manual_seed(0)
            layer = torch.nn.Linear(4, 4)
            optimizer = create_optimizer([{"params": list(layer.parameters())}], OptimConfig(name=name))
            scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
            for step in range(-overflows, 4):
                torch.manual_seed(step + 10)
                loss = layer(torch.randn(2, 4)).square().sum() * (float("inf") if step < 0 else 1)
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                scaler.step(optimizer)
                scaler.update()
            weights.append(layer.weight.detach())
        torch.testing.assert_close(weights[1], weights[0])
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_step_is_skipped_however_many_ranks_overflow(name, ranks):
    """The scaler of several ranks counts those that overflowed."""
    layer = torch.nn.Linear(4, 4)
    before = layer.weight.detach().clone()
    optimizer = create_optimizer([{"params": list(layer.parameters())}], OptimConfig(name=name))
    layer(torch.randn(2, 4)).sum().backward()
    optimizer.grad_scale, optimizer.found_inf = None, torch.tensor([float(ranks)])
    optimizer.step()
    assert torch.equal(layer.weight, before)
    optimizer.found_inf = torch.zeros(1)
    optimizer.step()
    assert not torch.equal(layer.weight, before) and torch.isfinite(layer.weight).all()
