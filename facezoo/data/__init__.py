"""Training data: readers of labelled crops and the transforms that vary them."""

from facezoo.data import (
    folder,
    geometric,
    list_file,
    pack_dataset,
    photometric,
    rec_dataset,
    tfrecord_dataset,
)
from facezoo.data.dataset import Dataset, Problems
from facezoo.data.transforms import create_transforms

__all__ = [
    "Dataset",
    "Problems",
    "create_transforms",
    "folder",
    "geometric",
    "list_file",
    "pack_dataset",
    "photometric",
    "rec_dataset",
    "tfrecord_dataset",
]
