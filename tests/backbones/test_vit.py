"""What a vision transformer does in training only."""

import torch
from torch import nn

from facezoo.backbones.keys import reference_keys
from facezoo.registry import BACKBONES


def small(**options):
    torch.manual_seed(0)
    return BACKBONES.create("vit_t", input_size=36, embedding_dim=8, **options)


def test_masked_tokens_do_not_reach_the_blocks():
    network = small(mask_ratio=0.25).train()
    seen = []
    network.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    network(torch.rand(3, 3, 36, 36))
    network.eval()(torch.rand(3, 3, 36, 36))
    assert seen == [(3, 12, 256), (3, 16, 256)]


def test_the_learned_token_stands_where_tokens_were_left_out():
    network = small(mask_ratio=0.25).train()
    given = []
    network.output.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    network(torch.rand(3, 3, 36, 36))
    same = (given[0].unflatten(1, (16, 256)) == network.mask).all(dim=2)
    assert same.sum(dim=1).tolist() == [4, 4, 4]


def test_without_a_mask_there_is_no_token_for_it():
    assert "mask_token" not in reference_keys(small(), "vit").values()
    assert "mask_token" in reference_keys(small(mask_ratio=0.1), "vit").values()


def test_drop_path_grows_from_block_to_block():
    shares = [block.drop_path.share for block in small(drop_path=0.11).blocks]
    torch.testing.assert_close(shares, [0.01 * number for number in range(12)])


def test_a_dropped_path_keeps_the_mean():
    path = small(drop_path=0.4).blocks[-1].drop_path.train()
    kept = path(torch.ones(10000, 1, 1))
    assert set(kept.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    assert abs(kept.mean() - 1) < 0.03
    assert torch.equal(path.eval()(torch.ones(4, 1, 1)), torch.ones(4, 1, 1))


def test_pixels_that_fill_no_patch_are_not_seen():
    network = BACKBONES.create("vit_t:embedding_dim=8").eval()
    crops = torch.rand(1, 3, 112, 112)
    beside = crops.clone()
    beside[:, :, 108:], beside[:, :, :, 108:] = 0, 0
    assert torch.equal(network(crops), network(beside))


def test_the_large_ones_recompute_unless_told_not_to():
    with torch.device("meta"):
        assert BACKBONES.create("vit_b").checkpointing
        assert not BACKBONES.create("vit_b:checkpointing=false").checkpointing
        assert not BACKBONES.create("vit_s").checkpointing


def test_cvlfaces_form_has_fourteen_by_fourteen_tokens():
    with torch.device("meta"):
        small, base = BACKBONES.create("vit_s_cvlface"), BACKBONES.create("vit_b_cvlface")
    assert small.position.shape == base.position.shape == (1, 196, 512)
    assert [len(small.blocks), len(base.blocks)] == [12, 24]
    assert [network.blocks[0].attention.heads for network in (small, base)] == [8, 16]
    assert [network.blocks[0].widen.out_features for network in (small, base)] == [2560, 1536]


def test_linear_maps_begin_narrow():
    network = small()
    weights = torch.cat([m.weight.flatten() for m in network.blocks.modules() if isinstance(m, nn.Linear)])
    assert abs(weights.std() - 0.02) < 1e-3
