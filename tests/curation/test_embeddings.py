import shutil

import numpy as np
import pytest

from facezoo.curation import embeddings as module
from facezoo.curation.embeddings import embed_dataset
from facezoo.data.opening import open_dataset
from facezoo.evaluation.feature_file import FeatureFile
from facezoo.evaluation.features import Stored
from facezoo.types import InputError, unit


@pytest.fixture
def data(world):
    (world / "p03" / "4.png").write_bytes(b"damaged")
    return open_dataset(str(world))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 128)


def test_rows_are_unit_vectors_in_order_and_unreadable_ones_zero(data, embed, tmp_path, caplog):
    stored = embed_dataset(data, embed, "m", tmp_path / "e")
    samples = np.array([599, 0, 130, 130])
    expected = unit(embed(data.read(int(sample)) for sample in samples))
    np.testing.assert_allclose(stored[samples], expected, atol=1e-6)
    assert len(stored) == 600 and np.flatnonzero(stored.failed).tolist() == [34] and not stored[np.array([34])].any()
    assert "no embedding: 1 (" in caplog.text and "p03/4.png" in caplog.text


def test_a_killed_run_goes_on_where_it_stopped(data, embed, tmp_path):
    class Killed(type(embed)):
        def __call__(self, crops):
            if self.crops >= 250:
                raise KeyboardInterrupt
            return super().__call__(crops)

    with pytest.raises(KeyboardInterrupt):
        embed_dataset(data, Killed(), "m", tmp_path / "e")
    stored = embed_dataset(data, embed, "m", tmp_path / "e")
    assert embed.crops == 600 - 2 * 128
    whole = embed_dataset(data, embed, "m", tmp_path / "f")
    np.testing.assert_array_equal(stored[np.arange(600)], whole[np.arange(600)])
    before = embed.crops
    embed_dataset(data, embed, "m", tmp_path / "e")
    assert embed.crops == before


def test_embeddings_of_others_are_refused(data, embed, world, tmp_path):
    embed_dataset(data, embed, "m", tmp_path / "e")
    with pytest.raises(InputError, match="holds features with another model"):
        embed_dataset(data, embed, "another", tmp_path / "e")
    (world / "p00" / "0.png").unlink()
    with pytest.raises(InputError, match="holds features with another photos, data"):
        embed_dataset(open_dataset(str(world)), embed, "m", tmp_path / "e")


def test_a_damaged_file_is_named(data, embed, tmp_path):
    embed_dataset(data, embed, "m", tmp_path / "e")
    (tmp_path / "e" / "embeddings.npy").write_bytes(b"x")
    with pytest.raises(InputError, match=r"embeddings.npy: not a readable feature file"):
        embed_dataset(data, embed, "m", tmp_path / "e")


def test_an_image_that_was_repaired_is_embedded_the_next_time_and_no_other(data, embed, world, tmp_path):
    embed_dataset(data, embed, "m", tmp_path / "e")
    before = embed.crops
    shutil.copy(world / "p03" / "5.png", world / "p03" / "4.png")
    stored = embed_dataset(data, embed, "m", tmp_path / "e")
    assert embed.crops == before + 1 and not stored.failed.any()
    np.testing.assert_array_equal(stored[np.array([34])], stored[np.array([35])])


def test_the_folder_stands_in_the_place_of_a_model(data, embed, tmp_path):
    embed_dataset(data, embed, "m", tmp_path / "e")
    assert (
        next(FeatureFile(tmp_path / "e").names()) == data.path(0) and Stored.open(tmp_path / "e").contract.flip is False
    )


def test_nothing_readable_is_an_error(embed, tmp_path):
    (tmp_path / "d" / "ada").mkdir(parents=True)
    (tmp_path / "d" / "ada" / "1.jpg").write_bytes(b"no")
    with pytest.raises(InputError, match="none of 1 images can be read"):
        embed_dataset(open_dataset(str(tmp_path / "d")), embed, "m", tmp_path / "e")
