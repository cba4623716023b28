"""Several models as one: each sees its own crop, and cosines are the mean of theirs."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facezoo.align import align, recrop, template_points
from facezoo.embedder import Embedder, load_embedder
from facezoo.evaluation.photos import Crops, Photo
from facezoo.registry import EMBEDDERS
from facezoo.sdk.ensemble import Ensemble
from facezoo.types import Contract, InputError, unit


class Linear(Embedder):
    """A random linear map of a crop's pixels."""

    def __init__(self, dim: int, seed: int, **contract) -> None:
        options = {"name": f"linear{seed}", "embedding_dim": dim, "weights_sha256": f"{seed:064x}", **contract}
        super().__init__(Contract(**options))
        height, width = self.contract.input_size
        self.map = np.random.default_rng(seed).normal(size=(3 * height * width, dim)).astype(np.float32) / 100

    def forward(self, batch):
        return batch.reshape(len(batch), -1) @ self.map


WHOLE = Linear(8, 1)
UPPER = Linear(5, 2, template="arcface-upper", input_size=(60, 112), color="bgr")
DLIB = Linear(6, 3, template="dlib", input_size=(150, 150), mean=(120.0, 110.0, 100.0), std=(256.0,) * 3)
LARGE = Linear(7, 4, input_size=(160, 160))
POINTS = template_points("arcface", (112, 112)) * 1.3 + [60, 30]


@pytest.fixture
def photos():
    rng = np.random.default_rng(0)
    return [cv2.resize(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), (300, 240)) for _ in range(5)]


def by_hand(members, photos):
    """Each member by itself, on its own alignment."""
    return [m([align(photo, POINTS, m.contract.template, m.contract.input_size) for photo in photos]) for m in members]


@pytest.mark.parametrize("members", [(WHOLE, UPPER), (WHOLE, DLIB), (UPPER, DLIB, LARGE), (UPPER, UPPER)])
def test_every_member_sees_the_photo_aligned_for_it(photos, members):
    both = Ensemble(members)
    crops = Crops([Photo(str(k), photo, POINTS) for k, photo in enumerate(photos)], both.contract)
    found = both(crops)

    wanted = np.concatenate([unit(rows) for rows in by_hand(members, photos)], axis=1) / np.sqrt(len(members))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found.shape[1] == both.contract.embedding_dim and found.dtype == np.float32


def test_a_whole_crop_is_enough_for_its_upper_half_too(photos):
    both = Ensemble([UPPER, WHOLE])
    crops = [align(photo, POINTS) for photo in photos]
    assert (both.contract.template, both.contract.input_size) == ("arcface", (112, 112))
    alone = [UPPER([crop[:60] for crop in crops]), WHOLE(crops)]
    np.testing.assert_allclose(both(crops), np.concatenate([unit(r) for r in alone], 1) / np.sqrt(2), atol=1e-6)
    many = Ensemble([UPPER, WHOLE], batch_size=2)
    np.testing.assert_allclose(many(crops), both(crops), atol=1e-5)


def test_aligned_crops_are_cut_and_scaled_for_members_of_one_template(photos):
    three = Ensemble([UPPER, WHOLE, LARGE])
    photos = [Photo(str(k), align(photo, POINTS)) for k, photo in enumerate(photos)]
    found = three(Crops(photos, three.contract, "arcface"))
    alone = [m([recrop(p.read(), m.contract.template, m.contract.input_size) for p in photos]) for m in three.members]
    np.testing.assert_allclose(found, np.concatenate([unit(rows) for rows in alone], 1) / np.sqrt(3), atol=1e-6)
    with pytest.raises(InputError, match="these are aligned to 'arcface'; use the raw photos"):
        Crops(photos, Ensemble([WHOLE, DLIB]).contract, "arcface")


def test_the_cosine_is_the_weighted_mean_of_the_members_cosines(photos):
    both = Ensemble([WHOLE, DLIB], weights=[3, 1])
    found = both(Crops([Photo(str(k), photo, POINTS) for k, photo in enumerate(photos)], both.contract))
    cosines = [unit(rows) @ unit(rows).T for rows in by_hand([WHOLE, DLIB], photos)]
    np.testing.assert_allclose(found @ found.T, 0.75 * cosines[0] + 0.25 * cosines[1], atol=1e-6)


def test_raw_embeddings_keep_their_lengths(photos):
    both = Ensemble([WHOLE, UPPER], normalise=False)
    crops = [align(photo, POINTS) for photo in photos]
    np.testing.assert_allclose(both(crops), np.concatenate(by_hand([WHOLE, UPPER], photos), 1), rtol=1e-5)


def test_pixels_that_were_computed_are_rounded():
    """As those of a batch in distillation, which are resized or moved."""
    both = Ensemble((WHOLE, Linear(5, 2)))
    pixels = np.random.default_rng(0).integers(1, 255, (2, 3, 112, 112)).astype(np.float32)
    np.testing.assert_array_equal(both.forward(pixels - 0.3), both.forward(pixels + 0.3))


def test_the_mirror_image_counts_in_every_member_or_in_none(photos):
    both = Ensemble([WHOLE, DLIB])
    crops = list(Crops([Photo(str(k), photo, POINTS) for k, photo in enumerate(photos)], both.contract))
    plain = both.under(flip=False)
    wanted = np.concatenate([unit(r) for r in by_hand([m.under(flip=False) for m in (WHOLE, DLIB)], photos)], 1)
    np.testing.assert_allclose(plain(crops), wanted / np.sqrt(2), atol=1e-6)
    assert not np.allclose(plain(crops), both(crops), atol=1e-3)
    mirrored = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
    np.testing.assert_allclose(both(mirrored), both(crops), atol=1e-5)  # e + m is the same either way round
    np.testing.assert_allclose(plain.forward(np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32)), plain(crops))


def test_it_states_what_it_is_made_of():
    both = Ensemble([WHOLE, DLIB])
    contract = both.contract
    assert contract.name == "linear1+linear3" and contract.threshold is None and contract.embedding_dim == 14
    assert contract.weights_sha256 != Ensemble([DLIB, WHOLE]).contract.weights_sha256
    assert contract.weights_sha256 != Ensemble([WHOLE, DLIB], weights=[1, 2]).contract.weights_sha256
    assert Ensemble([WHOLE, Linear(3, 5, weights_sha256="")]).contract.weights_sha256 == ""
    assert Contract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ensemble([WHOLE]), "1 models; an ensemble has two or more"),
        (lambda: Ensemble([WHOLE, DLIB], weights=[1]), "give one above 0 to each"),
        (lambda: Ensemble([WHOLE, DLIB], weights=[1, 0]), "give one above 0 to each"),
        (lambda: Ensemble([WHOLE, DLIB.under(flip=False)]), r"\(linear1 does, linear3 does not\); write flip=true"),
        (lambda: Ensemble([WHOLE, DLIB]).under(color="bgr"), "linear1.linear3: color is each model's own"),
        (
            lambda: Ensemble([WHOLE, DLIB])([np.zeros((112, 112, 3), np.uint8)]),
            r"the model takes uint8 \(262, 150, 3\)",
        ),
    ],
)
def test_what_makes_no_ensemble_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_spec_loads_its_members(monkeypatch, photos, tmp_path, run):
    for name, member in (("whole", WHOLE), ("upper", UPPER)):
        monkeypatch.setitem(EMBEDDERS._factories, name, lambda member=member: replace_batch(member))
    both = load_embedder('ensemble:models=["whole","upper"],weights=[2,1]', flip=False, batch_size=3)
    assert both.batch_size == 3 and both.contract.flip is False
    crops = [align(photo, POINTS) for photo in photos]
    np.testing.assert_allclose(both(crops), Ensemble([WHOLE, UPPER], [2, 1]).under(flip=False)(crops), atol=1e-6)

    for person in range(2):
        for number in range(2):
            folder = tmp_path / "faces" / f"p{person}"
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{number}.png"), crops[2 * person + number])
    code, _, error = run(
        "evaluate", 'ensemble:models=["whole","upper"]', f"folder:root={tmp_path / 'faces'},aligned=arcface,folds=2",
        "--out", tmp_path / "report.json",
    )  # fmt: skip
    assert code == 0, error
    (report,) = json.loads((tmp_path / "report.json").read_text())
    assert report["contract"]["name"] == "linear1+linear2"


def replace_batch(member: Linear) -> Linear:
    other = member.under()
    other.contract = replace(member.contract)
    return other
