"""Benchmarks, the scores they give, and the reports that say how the scores were taken."""

from facezoo.data.pairs import draw_pairs
from facezoo.evaluation import all_pairs, identification, ijb_files, masked, megaface_files, sets
from facezoo.evaluation.folds import fold_accuracy
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.report import Report, read_json, table, to_json, write_json
from facezoo.evaluation.run import embed_photos, evaluate, needs_locate, with_landmarks
from facezoo.evaluation.verification import Verification

__all__ = [
    "Photo",
    "Report",
    "Verification",
    "all_pairs",
    "draw_pairs",
    "embed_photos",
    "evaluate",
    "fold_accuracy",
    "identification",
    "ijb_files",
    "masked",
    "megaface_files",
    "needs_locate",
    "read_json",
    "sets",
    "table",
    "to_json",
    "with_landmarks",
    "write_json",
]
