"""Configs of other projects, in their documented formats and written for these tests, become configs of ours."""

from __future__ import annotations

import pytest

from facezoo.config import load_config
from facezoo.config_import import import_config
from facezoo.dry_run import dry_run
from facezoo.files import write_text
from facezoo.types import InputError

ARCFACE_TORCH = """
from easydict import EasyDict as edict

config = edict()
config.margin_list = (1.0, 0.0, 0.4)
config.network = "vit_t_dp005_mask0"
config.embedding_size = 256
config.sample_rate = 0.3
config.optimizer = "adamw"
config.lr = 1e-3
config.weight_decay = 0.1
config.batch_size = 32 * 2
config.rec = "/data/WebFace, all"
config.num_classes = 1000
config.num_image = 50000
config.num_epoch = 40
config.warmup_epoch = config.num_epoch // 10
config.verbose = 2000
config.surprise = open("never-read").read()
"""

BACKBONES = """
MobileFaceNet:
  feat_dim: 256
  out_h: 4   # the upper half
  out_w: 7
ResNet:
  depth: 100
  drop_ratio: 0.4
  net_mode: ir_se
  feat_dim: 512
  out_h: 7
  out_w: 7
"""

HEADS = """
ArcFace:
  feat_dim: 512
  num_class: 72778
  margin_arc: 0.35
  margin_am: 0.0
  scale: 32
MV-Softmax:
  feat_dim: 512
  num_class: 72778
  is_am: 0
  margin: 0.35
  mv_weight: 1.12
  scale: 32
  shade: 3
"""

TRAIN_SH = r"""
python train.py \
    --data_root '/data/msra crop' --train_file '/data/train.txt' \
    --backbone_type 'ResNet' --head_type 'MV-Softmax' \
    --lr 0.05 --epoches 20 --step '12, 16' --batch_size 128 --momentum 0.8 \
    2>&1 | tee log.log
"""

TFACE = """
SEED: 1337
INDEX_ROOT: /data/index
BACKBONE_NAME: IR_18
HEAD_NAME: CurricularFace
DATASETS:
  - {name: MS1M, batch_size: 64, weight: 1.0, scale: 64.0, margin: 0.5}
LRS: [0.1, 0.01, 0.001, 0.0001]
STAGES: [10, 18, 24]
NUM_EPOCH: 26
WEIGHT_DECAY: 0.0005
MOMENTUM: 0.9
"""

EVOLVE = """
import torch

configurations = {
    1: dict(
        SEED=1337, DATA_ROOT="/data/faces", MODEL_ROOT="model", BACKBONE_NAME="IR_50", HEAD_NAME="Am_softmax",
        LOSS_NAME="Focal", INPUT_SIZE=[112, 112], RGB_MEAN=[0.5, 0.5, 0.5], EMBEDDING_SIZE=512, BATCH_SIZE=256,
        DROP_LAST=False, LR=0.1, NUM_EPOCH=125, WEIGHT_DECAY=5e-4, MOMENTUM=0.9, STAGES=[35, 65, 95],
        DEVICE=torch.device("cuda:0"), GPU_ID=[0, 1],
    ),
}
"""


@pytest.fixture
def written(tmp_path):
    """Writes texts as files and imports them together."""

    def written(*texts, suffix=".py", **options):
        paths = [tmp_path / f"{number}{suffix}" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return import_config(paths, "theirs", **options)

    return written


def runs(found, tmp_path):
    """The TOML text of an import loads to the config it tells of, and its parts can be built."""
    write_text(tmp_path / "ours.toml", found.toml())
    assert load_config(tmp_path / "ours.toml") == found.config
    return dry_run(found.config, 200, 100_000).text()


def test_arcface_torch(written, tmp_path):
    found = written("config.network = 'r50'\nconfig.lr = 0.02", ARCFACE_TORCH, gpus=4)

    config = found.config
    assert config.model.backbone == "vit_t:drop_path=0.05,embedding_dim=256"
    assert (config.model.head, config.model.sample_rate) == ("cosface:margin=0.4", 0.3)
    assert (config.data.train, config.data.batch_size) == ("rec:path='/data/WebFace, all/train.rec'", 256)
    assert (config.optim.name, config.optim.lr, config.optim.weight_decay, config.optim.clip_norm) == (
        *("adamw", 0.001, 0.1),
        5,
    )
    assert (config.schedule.name, config.schedule.warmup_epochs, config.train.epochs) == ("polynomial", 4, 40)
    assert (config.train.amp, config.train.seed) == ("fp16", 2048)
    assert (found.classes, found.images) == (1000, 50000)
    assert any(line.startswith("verbose = 2000") for line in found.left)
    assert any(line.startswith("surprise = open('never-read').read(): not known") for line in found.left)
    assert "steps       15,600 (390 an epoch) of 256 images" in runs(found, tmp_path)


@pytest.mark.parametrize(
    ("margins", "more", "head"),
    [
        ("(1.0, 0.5, 0.0)", "", "arcface@insightface:margin=0.5"),
        ("(1.0, 0.0, 0.4)", "config.interclass_filtering_threshold = 0.4", "combined@insightface:m1=1,m2=0,m3=0.4"),
        ("(1.0, 0.3, 0.2)", "", "cosface:margin=0.2"),
    ],
)
def test_margins_of_arcface_torch(written, margins, more, head):
    assert written(f"config.margin_list = {margins}\n{more}").config.model.head.startswith(head)


def test_facexzoo(written, tmp_path):
    (tmp_path / "train.sh").write_text(TRAIN_SH)
    for name, text in (("b.yaml", BACKBONES), ("h.yaml", HEADS)):
        (tmp_path / name).write_text(text)
    found = import_config([tmp_path / name for name in ("b.yaml", "h.yaml", "train.sh")], "theirs")

    config = found.config
    assert config.model.backbone == "ir_se101:flavor=facexzoo,dropout=0.4"
    assert config.model.head == "mvsoftmax@facexzoo:margin=0.35,weight=1.12,scale=32,kind=arc"
    assert config.data.train == "list:path=/data/train.txt,root=/data/msra crop"
    assert (config.optim.lr, config.optim.momentum, config.optim.weight_decay) == (0.05, 0.8, 1e-4)
    assert (config.schedule.milestones, config.train.epochs, config.data.batch_size) == ([12, 16], 20, 128)
    assert "MV-Softmax.shade = 3: not known" in found.left
    assert found.classes == 72778
    assert "ir_se101" in runs(found, tmp_path)


def test_facexzoo_by_name(written, tmp_path):
    found = written(BACKBONES, HEADS, suffix=".yaml", backbone="MobileFaceNet", head="ArcFace")

    assert found.config.model.backbone == "mobilefacenet:embedding_dim=256,input_size=(60,112)"
    assert found.config.model.template == "arcface-upper"
    assert found.config.model.head == "arcface@facexzoo:margin=0.35,fallback_margin=0,scale=32"
    assert (found.config.data.batch_size, found.config.schedule.milestones) == (512, [10, 13, 16])
    assert "mobilefacenet" in runs(found, tmp_path)


def test_tface(written, tmp_path):
    found = written(TFACE, suffix=".yaml")

    config = found.config
    assert (config.model.backbone, config.model.head) == ("ir18", "curricularface@tface:scale=64,margin=0.5")
    assert (config.data.train, config.data.batch_size) == ("tfrecord:path=/data/index/MS1M.txt", 512)
    assert (config.optim.lr, config.optim.decay_norms, config.schedule.milestones) == (0.1, True, [10, 18, 24])
    assert "ir18" in runs(found, tmp_path)


def test_several_sets_of_tface(written):
    second = "DATASETS:\n  - {name: second set, batch_size: 32}\n"
    found = written(TFACE.replace("DATASETS:\n", second), suffix=".yaml", gpus=2)

    train = (
        'multi:sets=["tfrecord:path=/data/index/second set.txt", "tfrecord:path=/data/index/MS1M.txt"],separate=true'
    )
    assert (found.config.data.train, found.config.data.batch_size) == (train, 192)


def test_evolve(written, tmp_path):
    found = written(EVOLVE)

    config = found.config
    assert config.model.backbone == "ir50:flavor=facexzoo,dropout=0.5"
    assert (config.model.head, config.model.loss) == ("amsoftmax:scale=30", "focal@evolve")
    assert (config.data.sampler, config.data.transforms) == ("shuffle:last=fill", ["crop@evolve", "flip"])
    assert (config.schedule.warmup_epochs, config.train.epochs, config.train.seed) == (5, 125, 1337)
    assert any("forgets to normalise" in line for line in found.left)
    assert any(line.startswith("DEVICE = torch.device('cuda:0')") for line in found.left)
    assert "ir50" in runs(found, tmp_path)


@pytest.mark.parametrize(
    ("texts", "suffix", "words"),
    [
        (["x = 1"], ".py", "neither config.NAME = value"),
        (["config.network = "], ".py", "not valid Python, line 1"),
        (["config.network = 'r51'"], ".py", "network 'r51' is not known; known: r18"),
        (["config.margin_list = (1.0, 0.5)"], ".py", "it must be three numbers"),
        (["config.margin_list = (2.0, 0.5, 0)"], ".py", "its code takes"),
        (["configurations = {2: dict(LR=0.1)}"], ".py", "no configuration 1; known: 2"),
        (["configurations = {1: dict(STAGES=['a'])}"], ".py", "STAGES is .*, it must be a list of numbers"),
        ([BACKBONES], ".yaml", "head_conf.yaml is missing"),
        ([BACKBONES, "a: 1"], ".yaml", "none of FaceX-Zoo's backbones or heads"),
        ([BACKBONES.replace("100", "99"), HEADS], ".yaml", "no entries|has no counterpart"),
        ([BACKBONES.replace("out_h: 4", "out_h: [4]"), HEADS], ".yaml", "is not a number where it must be"),
        (["a: &x [1]\nBACKBONE_NAME: *x"], ".yaml", "has references"),
        (["a: ["], ".yaml", "not valid YAML"),
        ([TFACE.replace("IR_18", "IR_19")], ".yaml", "BACKBONE_NAME is 'IR_19', which is not known"),
        ([TFACE.replace("[0.1,", "[x,")], ".yaml", "LRS is .* list of numbers"),
        (["x"], ".ini", "a config is .py"),
    ],
)
def test_what_cannot_be_translated_is_told(written, texts, suffix, words):
    options = {"backbone": "MobileFaceNet", "head": "ArcFace"} if "out_h: [4]" in texts[0] else {}
    options |= {"backbone": "ResNet", "head": "ArcFace"} if "99" in texts[0] else {}
    with pytest.raises(InputError, match=words):
        written(*texts, suffix=suffix, **options)


def test_the_command_writes_a_config_and_tells_what_it_left(run, tmp_path):
    source, out = tmp_path / "mine.py", tmp_path / "mine.toml"
    source.write_text(ARCFACE_TORCH)

    code, told, _ = run("config", "import", source, out)

    assert code == 0
    assert "network and embedding_size -> model.backbone = 'vit_t" in told
    assert "not translated: verbose = 2000" in told
    assert f"facezoo train {out} --dry-run --classes 1000 --images 50000" in told
    assert load_config(out).name == "mine"
    assert run("config", "import", source, out)[0] == 2
    assert run("config", "import", source)[0] == 2


def test_a_value_cannot_break_out_of_its_comment(written):
    found = written('config.lr = 0.1\nconfig.note = "a\\nname = 1"\nconfig.bad = a["b\\u2028c"]')

    assert all(line.startswith("# ") for line in found.toml().split("name =")[0].splitlines())
