"""Training data: readers of labelled crops and the transforms that vary them."""

from facezoo.data import (
    accessories_eyes,
    accessories_head,
    accessories_mask,
    degradation,
    folder,
    folder_writer,
    geometric,
    list_file,
    lmdb_file,
    multi,
    pack_dataset,
    parquet,
    photometric,
    randaugment,
    rec_dataset,
    samplers,
    subset,
    tfrecord_dataset,
    tones,
    webdataset,
)
from facezoo.data.dataset import Dataset, Problems
from facezoo.data.transforms import create_transforms

__all__ = [
    "Dataset",
    "Problems",
    "accessories_eyes",
    "accessories_head",
    "accessories_mask",
    "create_transforms",
    "degradation",
    "folder",
    "geometric",
    "list_file",
    "pack_dataset",
    "photometric",
    "randaugment",
    "rec_dataset",
    "tfrecord_dataset",
    "tones",
]
