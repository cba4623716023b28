"""A network is known by the names and shapes of its tensors."""

import pytest

from facezoo.imports.describe import LAYOUTS, families, file_names, layouts_of, look
from facezoo.imports.detect import detect
from facezoo.registry import BACKBONES, NETWORKS
from facezoo.types import InputError


def shapes_of(spec, layout=None, prefix=""):
    """The tensors of a file that holds a network."""
    layout = layout or layouts_of(spec.partition(":")[0])[0].name
    names = file_names(spec, layout)
    return {prefix + names[key]: shape for key, shape in look(spec).shapes.items()}


QUICK = {
    "facexzoo__mobilefacenet": "mobilefacenet",
    "tface__mobilefacenet": "mobilefacenet:affine=false",
    "insightface__mbf": "mbf",
    "insightface__mbf_large": "mbf_large",
    "tface__ir_18": "ir18",
    "facexzoo_kdf__resnet18_ir": "ir18:flavor=facexzoo",
    "facexzoo__resnet50_ir_se": "ir_se50:flavor=facexzoo",
    "tface_quality__r50_qua": "sdd_fiqa_r50",
    "tface_quality__mfn_qua": "sdd_fiqa_mobilefacenet",
    "facexzoo_sdk__pfld_mobilenetv3": "pfld_mobilenetv3",
    "facexzoo_sdk__retinaface_mnet025": "retinaface_mnet025",
    "facexzoo__lightcnn29": "lightcnn29v2",
    "facexzoo__tfnas_a": "tf_nas_a",
    "facexzoo__repvgg_a0_deploy": "repvgg_a0:fused=true",
    "tface__fbnet_a": "fbnet_a",
    "insightface__vit_t": "vit_t",
    "facexzoo__attentionnet56": "attention56",
}
SLOW = {
    "evolve__attention56": "attention56",
    "evolve__attention92": "attention92",
    "evolve__efficientnet_b0": "efficientnet_b0",
    "evolve__efficientnet_b1": "efficientnet_b1",
    "evolve__ghostnet": "ghostnet",
    "evolve__ir_101": "ir101:flavor=facexzoo",
    "evolve__ir_152": "ir152:flavor=facexzoo",
    "evolve__ir_50": "ir50:flavor=facexzoo",
    "evolve__ir_se_101": "ir_se101:flavor=facexzoo",
    "evolve__ir_se_152": "ir_se152:flavor=facexzoo",
    "evolve__ir_se_50": "ir_se50:flavor=facexzoo",
    "evolve__mobilefacenet": "mobilefacenet",
    "evolve__resnet_101": "resnet101",
    "evolve__resnet_152": "resnet152",
    "evolve__resnet_50": "resnet50",
    "facexzoo__attentionnet92": "attention92",
    "facexzoo__efficientnet_b0": "efficientnet_b0",
    "facexzoo__efficientnet_b1": "efficientnet_b1",
    "facexzoo__ghostnet": "ghostnet",
    "facexzoo__hrnet_w18": "hrnet_w18",
    "facexzoo__repvgg_a0": "repvgg_a0",
    "facexzoo__repvgg_b0": "repvgg_b0",
    "facexzoo__repvgg_b1": "repvgg_b1",
    "facexzoo__resnest50": "resnest50",
    "facexzoo__resnet100_ir": "ir101:flavor=facexzoo",
    "facexzoo__resnet100_ir_se": "ir_se101:flavor=facexzoo",
    "facexzoo__resnet152_ir": "ir152:flavor=facexzoo",
    "facexzoo__resnet152_ir_se": "ir_se152:flavor=facexzoo",
    "facexzoo__resnet50_ir": "ir50:flavor=facexzoo",
    "facexzoo__rexnet_1_0": "rexnet_100",
    "facexzoo__rexnet_1_0_se": "rexnet_100:squeeze=true",
    "facexzoo__swin_s": "swin_s:input_size=224",
    "facexzoo__swin_t": "swin_t:input_size=224",
    "facexzoo_kdf__resnet152_ir": "ir152:flavor=facexzoo",
    "insightface__iresnet100": "iresnet100",
    "insightface__iresnet18": "iresnet18",
    "insightface__iresnet34": "iresnet34",
    "insightface__iresnet50": "iresnet50",
    "insightface__vit_s": "vit_s",
    "tface__efficientnetb0": "efficientnet_b0:flavor=tface",
    "tface__efficientnetb1": "efficientnet_b1:flavor=tface",
    "tface__fbnet_b": "fbnet_b",
    "tface__fbnet_c": "fbnet_c",
    "tface__ghostnet": "ghostnet:flavor=tface,width=1.3",
    "tface__ir_101": "ir101",
    "tface__ir_152": "ir152",
    "tface__ir_34": "ir34",
    "tface__ir_50": "ir50",
    "tface__ir_se_101": "ir_se101",
    "tface__ir_se_50": "ir_se50",
}


@pytest.mark.golden
@pytest.mark.parametrize("fixture", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_every_published_network_is_recognised(golden_root, golden_fill, fixture):
    facts = golden_fill.load_spec(golden_root / "backbones" / f"{fixture}.json.gz")
    shapes = {f"module.backbone.{key}": tuple(shape) for key, shape, *_ in facts["keys"]}
    match = detect({**shapes, "module.head.weight": (512, 1000)}, fixture)
    assert (match.spec, match.prefix, match.others) == ((QUICK | SLOW)[fixture], "module.backbone.", ())
    assert match.dropped == {"head": 1}
    assert len(match.names) + match.dead == len(shapes)


@pytest.mark.golden
@pytest.mark.slow
def test_every_published_network_is_in_the_table(golden_root):
    fixtures = {path.name.removesuffix(".json.gz") for path in (golden_root / "backbones").glob("*.json.gz")}
    assert fixtures == set(QUICK) | set(SLOW)


def test_every_layout_names_registered_networks():
    named = {layout.name for names in families().values() for name in names for layout in layouts_of(name)}
    assert named == {*LAYOUTS, "facezoo"}
    assert all(name in BACKBONES or name in NETWORKS for names in families().values() for name in names)


@pytest.mark.parametrize(
    ("spec", "layout"),
    [
        ("ir18:embedding_dim=256", "ir"),
        ("ir18:input_size=224", "ir"),
        ("ir_se18:flavor=facexzoo,embedding_dim=128,input_size=(112,96)", "ir_stages"),
        ("iresnet18:embedding_dim=64,input_size=128", "iresnet"),
        ("mobilefacenet:width=0.5,embedding_dim=128", "mobilefacenet"),
        ("mobilefacenet:affine=false,input_size=(60,112)", "mobilefacenet_tface"),
        ("mobilefacenet:width=0.5", "facezoo"),
        ("edgeface_xs:gamma=0.6", "edgeface"),
    ],
)
def test_dimension_crop_size_and_width_are_read_from_the_shapes(spec, layout):
    match = detect(shapes_of(spec, layout, "net."), "file")
    assert (match.layout, match.prefix) == (layout, "net.")
    assert look(match.spec).shapes == look(spec).shapes


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone.", "feat_net.", "any.thing.at.all."])
def test_any_prefix_is_taken_off(prefix):
    match = detect(shapes_of("mobilefacenet", prefix=prefix), "file")
    assert (match.spec, match.prefix, match.dropped) == ("mobilefacenet", prefix, {})


def test_a_head_is_left_out_and_counted():
    shapes = shapes_of("mobilefacenet", prefix="module.features.") | {"module.fc.weight": (512, 85742)}
    match = detect(shapes, "file")
    assert (match.prefix, match.dropped) == ("module.features.", {"fc": 1})


def test_of_two_networks_in_a_file_the_known_one_is_taken():
    other = {f"auxiliary.{key}": (3,) for key in ("conv1.weight", "conv2.weight", "fc.weight")}
    match = detect(shapes_of("mbf", prefix="network.") | other, "file")
    assert (match.spec, match.dropped) == ("mbf", {"auxiliary": 3})


def test_counters_may_be_missing():
    shapes = {key: shape for key, shape in shapes_of("mbf").items() if not key.endswith("num_batches_tracked")}
    assert detect(shapes, "file").spec == "mbf"


def refusal(shapes, wanted=None):
    with pytest.raises(InputError) as error:
        detect(shapes, "file.pt", wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_depth_is_named():
    said = refusal(shapes_of("ir18"), "ir34")
    assert said.startswith("file.pt: not ir34: ")
    assert "tensors are missing, the first is 'body.2.res_layer" in said or "tensors are missing" in said
    assert said.endswith("the tensors are those of ir18: leave --as out")


def test_what_is_asked_for_is_not_changed():
    assert "output.norm" not in refusal(shapes_of("ir18:embedding_dim=256"), "ir18:embedding_dim=512")
    assert detect(shapes_of("ir18:embedding_dim=256"), "file", "ir18").spec == "ir18:embedding_dim=256"
    assert detect(shapes_of("ir18:flavor=facexzoo"), "file", "ir18").spec == "ir18:flavor=facexzoo"


def test_the_closest_network_and_what_it_lacks_are_named():
    shapes = shapes_of("iresnet18")
    del shapes["fc.weight"], shapes["fc.bias"]
    said = refusal(shapes)
    assert said == "file.pt: closest is iresnet18, but 2 of its tensors are missing, the first is 'fc.weight'"


def test_a_shape_that_no_option_makes_is_named():
    shapes = shapes_of("mbf") | {"conv_sep.layers.0.weight": (512, 257, 1, 1)}
    assert "'conv_sep.layers.0.weight' is (512, 257, 1, 1)" in refusal(shapes)


def test_something_else_is_said_to_be_unknown():
    said = refusal({"embeddings.word.weight": (30522, 768), "encoder.0.weight": (768, 768)})
    assert said.startswith("file.pt: 2 tensors of no network that is known here; its first tensors are embeddings.word")
