import shlex

import numpy as np
import pytest

from facezoo.data.transforms import GAP, LINE
from facezoo.image import read_image, write_image
from facezoo.registry import TRANSFORMS


@pytest.fixture
def faces(tmp_path):
    """Two identities of three crops."""
    rng = np.random.default_rng(0)
    for person in ("ada", "bob"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for number in range(3):
            write_image(
                tmp_path / "faces" / person / f"{number}.png", rng.integers(256, size=(40, 40, 3), dtype=np.uint8)
            )
    return tmp_path / "faces"


def test_the_sheet_has_a_row_for_each_transform_and_each_draw(run, faces, tmp_path):
    out = tmp_path / "sheet.png"
    asked = ("--transforms", "flip", "grey", "--crops", 4, "--size", 48, "--draws", 2)
    code, said, _ = run("data", "preview", f"folder:root={faces}", out, *asked)
    assert code == 0 and "5 rows of 4 crops" in said
    sheet = read_image(out)
    line = GAP + LINE
    second = 2 * line + 48
    assert sheet.shape[1] == 4 * 48 and sheet.shape[0] >= 5 * (48 + line)  # long captions take more lines
    np.testing.assert_array_equal(sheet[second : second + 48, :48], sheet[line : line + 48, :48][:, ::-1])


def test_every_transform_is_shown_when_none_is_named(run, faces, tmp_path):
    code, said, _ = run("data", "preview", faces, tmp_path / "sheet.jpg", "--crops", 2, "--size", 32)
    assert code == 0 and f"{len(TRANSFORMS.names()) + 1} rows of 2 crops" in said


def test_the_same_seed_gives_the_same_sheet_and_another_another(run, faces, tmp_path):
    sheets = []
    for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
        asked = ("--transforms", "noise", "--size", 32, "--seed", seed)
        assert run("data", "preview", faces, tmp_path / name, *asked)[0] == 0
        sheets.append((tmp_path / name).read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_the_page_shows_a_configs_transforms(run, faces, tmp_path):
    config = tmp_path / "recipe.toml"
    config.write_text(
        f"""name = "toy"
[model]
backbone = "mobilefacenet"
head = "arcface"
[data]
train = "folder:root={faces}"
transforms = ["flip", "blur:sigma=(1,2)"]
"""
    )
    out = tmp_path / "page.html"
    code, _, error = run("data", "preview", faces, out, "--config", config, "--transforms", "mask")
    page = out.read_text()
    assert code == 0, error
    assert page.count("<img") == 1 + 3 + 3 and "blur:sigma=(1,2)" in page and "as in training, draw 3" in page


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--transforms", "twist"), "unknown transform 'twist'"),
        (("--crops", "0"), "0 images"),
        (("--size", "8"), "size is 8"),
        (("--draws", "-1"), "--draws is -1"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(run, faces, tmp_path, asked, words):
    code, _, error = run("data", "preview", faces, tmp_path / "sheet.jpg", *asked)
    assert code == 2 and words in error and not (tmp_path / "sheet.jpg").exists()


def test_colors_prints_a_transform_that_can_be_used(run, faces):
    code, spec, _ = run("data", "colors", faces, "--images", 4)
    (word,) = shlex.split(spec)  # as a shell takes what is printed
    assert code == 0 and TRANSFORMS.create(word).values[0] > 0
