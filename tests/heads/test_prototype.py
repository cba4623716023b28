"""The prototype queue: the originals' numbers, wrapping, duplicates, restarts."""

import numpy as np
import pytest
import torch

from facezoo.heads.prototype import HeterogeneousSemiSiamese, PrototypeQueue, SemiSiamese
from facezoo.types import InputError

MARGINS = {
    "softmax": "normface:",
    "am_softmax": "cosface:margin={margin},",
    "arc_softmax": "arcface:fallback=none,margin={margin},",
}


def queue_of(columns: np.ndarray, hyper: dict, dtype=torch.float32) -> PrototypeQueue:
    margin = MARGINS[hyper["loss_type"]].format(**hyper) + f"scale={hyper['scale']}"
    queue = PrototypeQueue(len(columns), columns.shape[1], margin).to(dtype)
    queue.queue.copy_(torch.from_numpy(columns.T))
    return queue


@pytest.fixture
def steps(golden_root):
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        return {name[4:]: file[name] for name in file.files if name.startswith("sst.")}


@pytest.mark.golden
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "name",
    [
        "facexzoo__sst_prototype_softmax",
        "facexzoo__sst_prototype_am_softmax",
        "facexzoo__sst_prototype_arc_softmax",
        "evolve__sst_prototype_am_softmax",
    ],
)
def test_six_steps_are_the_originals(golden, steps, name, dtype):
    _, wanted, meta = golden.load(f"heads/{name}.npz")
    queue = queue_of(steps["queue0"], meta["hyper"], dtype)
    losses, gradients = [], {"grad_p1": [], "grad_p2": []}
    for step in range(meta["steps"]):
        p1, p2, g1, g2 = (torch.from_numpy(steps[part][step]).to(dtype) for part in ("p1", "p2", "g1", "g2"))
        ids = torch.from_numpy(steps["ids"][step])
        p1.requires_grad_(), p2.requires_grad_()
        assert queue.index == wanted["index_before"][step]

        for probes, galleries, output in ((p1, g2, "output1"), (p2, g1, "output2")):
            logits, labels = queue.logits(probes, galleries, ids)
            assert golden.diff(logits.detach().numpy(), wanted[output][step])[1] <= 1e-5
            assert (labels.numpy() == wanted["label"][step]).all()
        loss = (queue(p1, g2, ids) + queue(p2, g1, ids)) / 2
        loss.backward()
        queue.store(g1 if wanted["stored"][step] == 1 else g2, ids)

        losses.append(loss.item())
        gradients["grad_p1"].append(p1.grad.numpy())
        gradients["grad_p2"].append(p2.grad.numpy())
        assert golden.diff(queue.queue.T.numpy(), wanted["queue"][step])[1] <= 1e-6
        assert (queue.identities.numpy() == wanted["label_list"][step]).all()
        assert queue.index == wanted["index_after"][step] and len(queue.known()) == wanted["n_ids"][step]
    assert golden.diff(losses, wanted["loss"])[1] <= 1e-5
    if dtype == torch.float64:
        assert golden.diff(losses, wanted["loss64"])[1] <= 1e-9
    for name, found in gradients.items():
        assert golden.diff(np.stack(found), wanted[name])[1] <= 5e-5


@pytest.mark.golden
def test_six_steps_with_two_kinds_of_cameras_are_facexzoos(golden, steps):
    _, wanted, meta = golden.load("heads/facexzoo__hsst_prototype_am_softmax.npz")
    hyper = meta["hyper"]
    head = HeterogeneousSemiSiamese(queue_of(steps["queue0"], hyper), queue_of(steps["queue0_b"], hyper))
    for step in range(meta["steps"]):
        p1, p2, g1, g2 = (torch.from_numpy(steps[part][step]) for part in ("p1", "p2", "g1", "g2"))
        p1.requires_grad_(), p2.requires_grad_()

        loss = head((p2, g2), (p1, g1), torch.from_numpy(steps["ids"][step]))["prototype"]
        loss.backward()

        assert golden.diff(loss.detach().numpy(), wanted["loss"][step])[1] <= 1e-5
        assert golden.diff(p1.grad.numpy(), wanted["grad_p1"][step])[1] <= 5e-5
        assert golden.diff(p2.grad.numpy(), wanted["grad_p2"][step])[1] <= 5e-5
        assert golden.diff(head.visible.queue.T.numpy(), wanted["vis_queue"][step])[1] <= 1e-6
        assert golden.diff(head.infrared.queue.T.numpy(), wanted["nir_queue"][step])[1] <= 1e-6
        assert (head.visible.identities.numpy() == wanted["label_list"][step]).all()
        assert head.infrared.index == wanted["index_after"][step]


def batch(rows: int, seed: int = 0, dim: int = 8):
    torch.manual_seed(seed)
    return torch.randn(rows, dim), torch.randn(rows, dim), torch.arange(rows) + 10 * seed


def test_a_queue_that_is_no_multiple_of_the_batch_wraps():
    queue = PrototypeQueue(8, 7)
    for seed in range(3):
        probes, galleries, ids = batch(3, seed)
        _, labels = queue.logits(probes, galleries, ids)
        assert labels.tolist() == [(3 * seed + i) % 7 for i in range(3)]
        queue.store(galleries, ids)
    assert queue.identities.tolist() == [21, 22, 2, 10, 11, 12, 20]
    assert queue.known().tolist() == [2, 10, 11, 12, 20, 21, 22] and queue.index == 2
    torch.testing.assert_close(queue.queue[1], galleries[2] / galleries[2].norm())


def test_logits_leave_the_queue_alone_and_galleries_get_no_gradient():
    queue = PrototypeQueue(8, 7)
    before = queue.queue.clone()
    probes, galleries, ids = batch(3)
    queue(probes.requires_grad_(), galleries.requires_grad_(), ids).backward()
    assert torch.equal(queue.queue, before) and queue.index == 0
    assert galleries.grad is None and probes.grad.abs().sum() > 0


@pytest.mark.parametrize("mask", [False, True])
def test_duplicates_are_negatives_unless_they_are_masked(mask):
    queue = PrototypeQueue(8, 6, "normface:scale=1", mask_duplicates=mask)
    probes, galleries, _ = batch(2)
    queue.store(galleries, torch.tensor([4, 5]))
    logits, labels = queue.logits(probes, galleries, torch.tensor([4, 4]))
    # Columns: the stored 4 and 5, this step's two images of 4, two empty places.
    left_out = torch.isinf(logits).tolist()
    of_first, of_second = [[True, False, False, True, False, False], [True, False, True, False, False, False]]
    assert left_out == ([of_first, of_second] if mask else [[False] * 6] * 2)
    assert labels.tolist() == [2, 3]
    probes.requires_grad_()
    queue(probes, galleries, torch.tensor([4, 4])).backward()
    assert torch.isfinite(probes.grad).all()


def test_a_restart_continues_where_it_stopped():
    straight = PrototypeQueue(8, 7)
    _, galleries, ids = batch(3)
    straight.store(galleries, ids)
    resumed = PrototypeQueue(8, 7)
    resumed.load_state_dict(straight.state_dict())
    for queue in (straight, resumed):
        queue.store(*batch(3, 1)[1:])
    assert torch.equal(resumed.queue, straight.queue) and torch.equal(resumed.identities, straight.identities)
    assert resumed.index == straight.index == 6


def test_either_gallery_is_stored_by_a_fair_coin_in_training_only():
    head = SemiSiamese(PrototypeQueue(8, 200, "normface:scale=1"))
    first, second, ids = batch(1)
    for _ in range(200):
        head((first, second), (first, second), ids)
    kept = (head.queue.queue @ (first[0] / first.norm()) > 0.999).sum().item()
    assert 70 < kept < 130

    head.eval()((first, second), (first, second), ids)
    assert head.queue.index == 0


@pytest.mark.parametrize("name", ["curricularface", "mvsoftmax", "adaface", "circleloss"])
def test_other_margins_work_on_a_queue(name):
    queue = PrototypeQueue(8, 7, name)
    probes, galleries, ids = batch(3)
    loss = queue(probes.requires_grad_(), galleries, ids)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(probes.grad).all()


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="needs class centres"):
        PrototypeQueue(8, 7, "softmax:num_classes=7")
    with pytest.raises(InputError, match="magface has a penalty"):
        PrototypeQueue(8, 7, "magface")
    with pytest.raises(InputError, match="a queue of 0"):
        PrototypeQueue(8, 0)
    queue = PrototypeQueue(8, 2)
    with pytest.raises(InputError, match="a step brings 3, the queue holds 2"):
        queue(*batch(3))
