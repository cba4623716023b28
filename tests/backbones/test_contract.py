"""What every registered backbone keeps: shape, gradients, model files, sizes, one-sentence errors."""

import pytest
import torch
from torch import nn

from facezoo.checkpoint import load_model, save_model
from facezoo.registry import BACKBONES
from facezoo.types import Contract, InputError

PARAMETERS = {
    "mobilefacenet": 1_200_512,
    "mobilefacenet:affine=false": 1_199_488,
    "mbf": 2_059_520,
    "mbf_large": 6_314_880,
    "ir18": 24_020_352,
    "ir34": 34_134_080,
    "ir50": 43_585_600,
    "ir101": 65_150_912,
    "ir152": 109_636_736,
    "ir200": 114_138_240,
    "ir_se50": 43_808_320,
    "ir_se101": 65_523_136,
    "ir_se152": 116_214_912,
    "ir_se200": 121_240_704,
    "ir18:input_size=224": 62_555_520,
    "ir152:input_size=224": 263_777_408,
    "ir18:flavor=facexzoo": 24_017_536,
    "ir50:flavor=facexzoo": 43_574_976,
    "ir101:flavor=facexzoo": 65_129_792,
    "ir152:flavor=facexzoo": 70_737_600,
    "ir_se50:flavor=facexzoo": 43_797_696,
    "ir_se101:flavor=facexzoo": 65_502_016,
    "ir_se152:flavor=facexzoo": 71_148_736,
    "iresnet18": 24_025_600,
    "iresnet34": 34_139_328,
    "iresnet50": 43_590_848,
    "iresnet100": 65_156_160,
    "iresnet200": 118_833_920,
    "iresnet2060": 1_122_301_120,
    "attention56": 81_138_880,
    "attention92": 101_794_496,
    "edgeface_xxs": 1_244_744,
    "edgeface_xs": 1_770_492,
    "edgeface_s": 3_652_520,
    "edgeface_base": 18_225_812,
    "fbnet_a": 11_016_864,
    "fbnet_b": 10_879_024,
    "fbnet_c": 11_697_344,
    "inceptionresnetv1": 23_482_624,
    "lightcnn29v2": 11_596_320,
    "repvgg_a0": 39_944_704,
    "repvgg_a1": 44_928_000,
    "repvgg_a2": 62_129_856,
    "repvgg_b0": 46_653_696,
    "repvgg_b1": 106_751_872,
    "repvgg_b2": 150_693_312,
    "repvgg_b3": 184_756_224,
    "repvgg_a0:fused=true": 39_145_120,
    "repvgg_a1:fused=true": 43_625_600,
    "repvgg_a2:fused=true": 59_419_200,
    "repvgg_b0:fused=true": 45_174_784,
    "repvgg_b1:fused=true": 101_166_336,
    "repvgg_b2:fused=true": 141_986_048,
    "repvgg_b3:fused=true": 172_631_808,
    "tf_nas_a": 39_590_703,
    "vit_t:mask_ratio=0.1": 19_137_792,
    "vit_s:mask_ratio=0.1": 76_023_296,
    "vit_b:mask_ratio=0.1": 113_833_472,
    "vit_l:mask_ratio=0.1": 255_684_352,
    "vit_h:mask_ratio=0.1": 756_393_984,
}
SMALL = [
    "mobilefacenet",
    "mobilefacenet:width=0.25,affine=false",
    "mbf",
    "mbf_large",
    "ir18",
    "ir_se18:flavor=facexzoo",
    "iresnet18",
    "attention56",
    "edgeface_xxs",
    "edgeface_xs",
    "fbnet_a",
    "lightcnn9",
    "lightcnn29v2",
    "repvgg_a0",
    "tf_nas_a",
    "vit_t:mask_ratio=0.3,drop_path=0.1",
    "timm:resnet10t",
]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_published(name):
    with torch.device("meta"):
        network = BACKBONES.create(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", [n for n in BACKBONES.names() if n not in ("timm", "iresnet2060")])
def test_any_backbone_maps_crops_of_its_size_to_embeddings(name):
    with torch.device("meta"):
        network = BACKBONES.create(f"{name}:embedding_dim=128,input_size=(96,112)")
        embeddings = network(torch.empty(2, 3, 96, 112))
    assert network.embedding_dim == 128 and network.input_size == (96, 112)
    assert embeddings.shape == (2, 128)


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_finite_gradient(name):
    torch.manual_seed(0)
    network = BACKBONES.create(f"{name}{',' if ':' in name else ':'}input_size=64,embedding_dim=32")
    embeddings = network(torch.rand(4, 3, 64, 64) * 2 - 1)
    (embeddings * torch.randn(4, 32)).sum().backward()
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
            # timm begins its residual branches with a slope of 0: nothing flows behind it in the first step.
            assert parameter.grad.any() or name.startswith("timm"), key


def test_iresnets_last_slope_is_one_and_stays():
    network = BACKBONES.create("iresnet18:input_size=32")
    assert [k for k, p in network.named_parameters() if not p.requires_grad] == ["output.norm.weight"]
    assert (network.output.norm.weight == 1).all()


@pytest.mark.parametrize("name", SMALL)
def test_a_model_file_rebuilds_the_network(name, tmp_path):
    torch.manual_seed(0)
    full = f"{name}{',' if ':' in name else ':'}input_size=64,embedding_dim=32"
    network = BACKBONES.create(full).eval()
    save_model(tmp_path / "model.safetensors", network, full, Contract(input_size=(64, 64), embedding_dim=32))
    loaded, _ = load_model(tmp_path / "model.safetensors")
    crops = torch.rand(2, 3, 64, 64) * 2 - 1
    assert torch.equal(loaded(crops), network(crops))


@pytest.mark.parametrize("size", [(64, 64), (112, 112), (128, 128), (60, 112), (33, 47)])
@pytest.mark.parametrize("name", ["mobilefacenet:width=0.25", "timm:resnet10t"])
def test_any_crop_size_will_do(name, size):
    network = BACKBONES.create(name, input_size=size, embedding_dim=16).eval()
    assert network(torch.zeros(1, 3, *size)).shape == (1, 16)


def test_an_upper_half_of_a_face_ends_in_four_by_seven():
    assert BACKBONES.create("mobilefacenet:input_size=(60,112)").output.conv.kernel_size == (4, 7)


def test_channels_last_changes_nothing_and_stays():
    torch.manual_seed(0)
    network = BACKBONES.create("mobilefacenet:width=0.25,embedding_dim=16").eval()
    crops = torch.rand(2, 3, 112, 112)
    plain = network(crops)
    network = network.to(memory_format=torch.channels_last)
    crops = crops.contiguous(memory_format=torch.channels_last)
    assert network.stage1(network.down1(network.second(network.stem(crops)))).is_contiguous(
        memory_format=torch.channels_last
    )
    torch.testing.assert_close(network(crops), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["mobilefacenet:width=0.25", "ir18", "iresnet18", "lightcnn9", "repvgg_a0", "vit_t:mask_ratio=0.3"],
)
def test_a_network_compiles_to_one_graph(name):
    network = BACKBONES.create(name, input_size=32, embedding_dim=8)
    crops = torch.rand(2, 3, 32, 32)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert compiled(crops).shape == (2, 8)


def test_a_network_exports_with_named_prelus():
    network = BACKBONES.create("mobilefacenet:width=0.25,input_size=32,embedding_dim=8").eval()
    crops = torch.rand(2, 3, 32, 32)
    program = torch.export.export(network, (crops,))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert sum("prelu" in name for name in called) == 33
    torch.testing.assert_close(program.module()(crops), network(crops))


@pytest.mark.parametrize("name", ["ir18:dropout=0", "iresnet18", "attention56", "repvgg_a0", "vit_t:drop_path=0.5"])
def test_checkpointing_changes_no_gradient_and_no_statistic(name):
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        network = BACKBONES.create(name, input_size=32, embedding_dim=8, checkpointing=again)
        network(torch.rand(4, 3, 32, 32)).square().sum().backward()
        gradients.append([p.grad for p in network.parameters() if p.grad is not None] + list(network.buffers()))
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_dropout_acts_in_training_only():
    network = BACKBONES.create("ir18:dropout=0.9,input_size=32,embedding_dim=8")
    crops = torch.rand(2, 3, 32, 32)
    assert isinstance(network.output.dropout, nn.Dropout) and network.output.dropout.p == 0.9
    network.eval()
    assert torch.equal(network(crops), network(crops))


@pytest.mark.parametrize("output", ["gdc", "flatten", "pool"])
@pytest.mark.parametrize("model", ["mobilenetv3_small_050", "convnext_atto", "levit_128s", "test_vit"])
def test_timm_networks_have_a_choice_of_outputs(model, output):
    network = BACKBONES.create(f"timm:{model},output={output},embedding_dim=16")
    embeddings = network(torch.rand(2, 3, 112, 112))
    embeddings.sum().backward()
    assert embeddings.shape == (2, 16)
    assert all(p.grad is not None for p in network.parameters())


def test_timms_stem_is_halved_where_the_map_would_be_small():
    def last_map(spec):
        return BACKBONES.create(f"{spec},output=gdc").output.conv.kernel_size

    assert last_map("timm:resnet10t") == (7, 7)
    assert last_map("timm:resnet10t,stem=keep") == (4, 4)
    assert last_map("timm:resnet10t,input_size=224") == (7, 7)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mobilefacenet:input_size=8", "input_size is 8 x 8, each side must be 32 to 1024"),
        ("ir18:input_size=(112,4000)", "input_size is 112 x 4000"),
        ("iresnet18:embedding_dim=0", "embedding_dim is 0"),
        ("ir18:dropout=1", "dropout is 1.0"),
        ("mobilefacenet:width=0", "width is 0.0"),
        ("ir18:flavor=adaface", "'tface' or 'facexzoo'"),
        ("ir18:units=3", "no option 'units'; its options: checkpointing, dropout, embedding_dim, flavor, input_size"),
        ("ir19", "unknown backbone 'ir19' (did you mean ir18?); known: attention56"),
        ("inceptionresnetv1:input_size=64", "64 x 64 is too small, sides must be 75 or more"),
        ("vit_t:mask_ratio=1", "mask_ratio is 1.0, it must be at least 0 and below 1"),
        ("vit_t:input_size=32,mask_ratio=0.95", "mask_ratio is 0.95, it leaves none of 9 tokens"),
        ("vit_t:drop_path=-1", "drop_path is -1.0"),
        ("edgeface_xs:gamma=0", "gamma is 0.0, it must be above 0 and at most 1"),
        ("edgeface_xs:drop_path=1", "drop_path is 1.0"),
        ("timm:resnet5", "timm has no network 'resnet5'; close: "),
        ("timm", "needs model"),
        ("timm:vgg11,stem=halve", "does not begin with a strided convolution"),
        ("timm:test_vit,stem=halve", "keeps its stem"),
        ("timm:resnet10t,dropout=0.5", "the output gdc has no dropout"),
        ("timm:maxvit_tiny_tf_224", "maxvit_tiny_tf_224 cannot be built for (112, 112) crops"),
    ],
)
def test_a_wrong_option_is_one_sentence(name, says):
    with pytest.raises(InputError) as error:
        BACKBONES.create(name)
    assert says in str(error.value)
