"""The families whose blocks timm and torchvision keep: what their face form changes, and what it must not."""

import numpy as np
import pytest
import torch
from torch import nn

from facezoo.checkpoint import load_model, save_model
from facezoo.export import export_onnx
from facezoo.image import write_image
from facezoo.options import options_of
from facezoo.registry import BACKBONES
from facezoo.types import Contract, InputError

PARAMETERS = {
    "resnet50": 40_290_880,
    "resnet101": 59_283_008,
    "resnet152": 74_926_656,
    "efficientnet_b0": 37_405_284 - 1_281_000,  # without the 1000 classes of ImageNet that files keep
    "efficientnet_b1": 39_910_920 - 1_281_000,
    "efficientnet_b0:flavor=tface": 4_057_600,
    "efficientnet_b1:flavor=tface": 6_567_648,
    "ghostnet": 26_759_364,
    "ghostnet:flavor=tface,width=1.3": 4_057_584,
    "hrnet_w18": 70_631_252,
    "resnest50": 76_793_248,
    "rexnet_100": 15_197_128,
    "rexnet_100:squeeze=true": 16_219_873,
    "swin_t:input_size=224": 46_788_474,
    "swin_s:input_size=224": 68_106_378,
}
FAMILIES = (
    "densenet",
    "dpn",
    "efficientnet",
    "ghost",
    "hrnet",
    "mobilenetv",
    "resne",
    "rexnet",
    "seresne",
    "shufflenet",
)
NAMES = [name for name in BACKBONES.names() if name.startswith((*FAMILIES, "swin"))]
SMALLEST = [
    "resnet18",
    "seresnext50_32x4d",
    "densenet121",
    "dpn68",
    "mobilenetv1_100",
    "mobilenetv2_050",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "efficientnet_b0:flavor=tface",
    "efficientnetv2_b0",
    "ghostnet:width=0.5",
    "ghostnet:flavor=tface,width=1.3",
    "ghostfacenet_v1",
    "ghostfacenet_v2",
    "hrnet_w18",
    "resnest50",
    "rexnet_100:squeeze=true",
    "swin_t",
]
# One of each structure, the light ones; the others are asked for with -m slow.
QUICK = [
    "resnet18",
    "densenet121",
    "dpn68",
    "mobilenetv3_small_100",
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "efficientnet_b0:flavor=tface",
    "ghostnet:width=0.5",
    "ghostfacenet_v2",
    "hrnet_w18",
    "resnest50",
    "rexnet_100:squeeze=true",
    "swin_t",
]
BLOCKS = ["resnet18", "mobilenetv3_small_100", "swin_t"]


def takes_dropout(name):
    return "dropout" in options_of(BACKBONES.factory(name))


def quick(names, of):
    return [*names, *(pytest.param(name, marks=pytest.mark.slow) for name in of if name not in names)]


def create(name, size=64, **options):
    spec = f"{name}{',' if ':' in name else ':'}input_size={size},embedding_dim=16"
    return BACKBONES.create(spec.replace(" ", ""), **options), spec.replace(" ", "")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_published(name):
    with torch.device("meta"):
        network = BACKBONES.create(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", quick(QUICK, sorted({*SMALLEST, *NAMES})))
def test_every_parameter_gets_a_finite_gradient(name):
    torch.manual_seed(0)
    network, _ = create(name)
    for module in network.modules():
        # Residual branches may begin with a slope of 0: nothing flows behind it in the first step.
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    (network(torch.rand(4, 3, 64, 64) * 2 - 1) * torch.randn(4, 16)).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all() and parameter.grad.any(), key


@pytest.mark.parametrize("size", [(32, 32), (60, 112), (66, 46), (128, 160), (224, 224)])
@pytest.mark.parametrize("name", quick(QUICK, sorted({*SMALLEST, *NAMES})))
def test_any_crop_size_will_do(name, size):
    with torch.device("meta"):
        network, _ = create(name, size)
        assert network(torch.empty(2, 3, *size)).shape == (2, 16)
    assert network.embedding_dim == 16 and network.input_size == size


@pytest.mark.parametrize("name", quick(BLOCKS, sorted({*SMALLEST, *NAMES})))
def test_a_model_file_rebuilds_the_network(name, tmp_path):
    torch.manual_seed(0)
    network, spec = create(name)
    network.eval()
    save_model(tmp_path / "model.safetensors", network, spec, Contract(input_size=(64, 64), embedding_dim=16))
    loaded, _ = load_model(tmp_path / "model.safetensors")
    crops = torch.rand(2, 3, 64, 64) * 2 - 1
    assert torch.equal(loaded(crops), network(crops))


@pytest.mark.parametrize("name", quick(BLOCKS, SMALLEST))
def test_channels_last_changes_nothing(name):
    torch.manual_seed(0)
    network = create(name)[0].eval()
    crops = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        plain = network(crops)
        network = network.to(memory_format=torch.channels_last)
        got = network(crops.contiguous(memory_format=torch.channels_last))
    assert (got - plain).abs().max() <= 1e-4 * plain.abs().max()


@pytest.mark.parametrize("name", quick(["resnet18", "shufflenet_v2_x0_5"], SMALLEST))
def test_a_network_compiles_to_one_graph(name):
    network = create(name)[0]
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert compiled(torch.rand(2, 3, 64, 64)).shape == (2, 16)
    torch.compiler.reset()


@pytest.mark.parametrize("name", quick([*BLOCKS, "densenet121", "hrnet_w18"], SMALLEST))
def test_checkpointing_changes_no_gradient_and_no_statistic(name):
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        network = create(name, checkpointing=again)[0]
        network(torch.rand(2, 3, 64, 64)).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()] + list(network.buffers()))
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


@pytest.mark.parametrize("name", quick(["shufflenet_v2_x0_5"], SMALLEST))
def test_a_backbone_exports(name, tmp_path):
    size = (60, 112)
    torch.manual_seed(0)
    network, spec = create(name, size)
    save_model(tmp_path / "model.safetensors", network, spec, Contract(input_size=size, embedding_dim=16))
    random = np.random.default_rng(0)
    for number in range(4):
        write_image(tmp_path / "crops" / f"{number}.png", random.integers(0, 256, (*size, 3), dtype=np.uint8))
    parity = export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx", tmp_path / "crops")
    assert parity.crops == 4 and parity.difference <= 1e-4


@pytest.mark.parametrize("name", [name for name in SMALLEST if ":" not in name and takes_dropout(name)])
def test_dropout_reaches_the_output(name):
    with torch.device("meta"):
        network = BACKBONES.create(f"{name}:dropout=0.75")
    assert network.output.dropout.p == 0.75


def test_the_first_stride_decides_the_last_map():
    def sides(spec):
        with torch.device("meta"):
            network = BACKBONES.create(spec)
        return network.output.conv.kernel_size

    assert sides("mobilenetv2_050") == (7, 7)
    assert sides("mobilenetv2_050:stem=keep") == (4, 4)
    assert sides("mobilenetv2_050:input_size=224") == (7, 7)
    assert sides("mobilenetv2_050:input_size=224,stem=halve") == (14, 14)
    assert sides("ghostfacenet_v1") == (7, 7) and sides("ghostfacenet_v1:stride=2") == (4, 4)


def test_efficientnet_pads_as_for_a_map_half_as_large():
    with torch.device("meta"):
        network = BACKBONES.create("efficientnet_b0")
    strided = [m for m in network.modules() if hasattr(m, "before")]
    assert [(m.before, m.after) for m in strided] == [(0, 1), (1, 2), (0, 1), (2, 2)]


def test_an_upper_half_of_a_face_is_padded_as_the_whole():
    with torch.device("meta"):
        half = BACKBONES.create("efficientnet_b0:input_size=(60,112)")
    assert half.output.linear.in_features == 1280 * 4 * 7
    assert [(m.before, m.after) for m in half.modules() if hasattr(m, "before")][-1] == (2, 2)


def test_swin_sees_at_112_pixels_the_maps_of_224():
    networks = [BACKBONES.create(f"swin_t:input_size={size}") for size in (112, 224)]
    small, large = ({k: v.shape for k, v in network.state_dict().items()} for network in networks)
    assert {k for k in small if small[k] != large[k]} == {"stem.proj.weight"}
    assert small["stem.proj.weight"][-2:] == (2, 2) and large["stem.proj.weight"][-2:] == (4, 4)


def test_resnest_leaves_the_norm_of_its_embeddings():
    torch.manual_seed(0)
    network = create("resnest50", 32)[0].eval()
    norms = network(torch.rand(3, 3, 32, 32)).norm(dim=1)
    assert (norms - 1).abs().min() > 1e-3


def test_the_narrow_last_block_is_tfaces_and_ghostfacenets():
    with torch.device("meta"):
        channels = {
            spec: BACKBONES.create(spec).head.conv.out_channels
            for spec in ("ghostnet", "ghostnet:flavor=tface,width=1.3", "ghostfacenet_v1", "ghostfacenet_v2")
        }
    assert list(channels.values()) == [960, 664, 664, 1248]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("efficientnet_b0:flavor=tface,dropout=0.2", "the flavor tface has no dropout"),
        ("efficientnet_b0:drop_path=1", "drop_path is 1.0"),
        ("efficientnetv2_s:drop_path=-0.1", "drop_path is -0.1"),
        ("ghostnet:width=0", "ghostnet: width is 0.0, it must be 0.1 to 8"),
        ("ghostnet:flavor=tface,dropout=0", "the flavor tface has no dropout"),
        ("ghostfacenet_v1:stride=3", "stride is 3, it must be 1 or 2"),
        ("ghostfacenet_v2:stride=2,input_size=32", "its last map of (32, 32) crops is (1, 1)"),
        ("hrnet_w18:embedding_dim=0", "embedding_dim is 0"),
        ("mobilenetv2_100:input_size=16", "input_size is 16 x 16"),
        ("mobilenetv2_100:dropout=0.1", "has no option 'dropout'"),
        ("resnet50:stem=open", "'auto', 'keep' or 'halve'"),
        ("swin_t:input_size=113", "each side must be a multiple of 2"),
        ("swin_t:input_size=226,patch=4", "each side must be a multiple of 4"),
        ("swin_t:patch=3", "patch is 3, it must be 2, 4 or 0"),
        ("swin_t:drop_path=1", "drop_path is 1.0"),
    ],
)
def test_a_wrong_option_is_one_sentence(name, says):
    with pytest.raises(InputError) as error:
        BACKBONES.create(name)
    assert says in str(error.value)
