"""Faces in photos: detect, align, embed, compare."""

from facezoo.sdk.analyzer import FaceAnalyzer
from facezoo.sdk.comparison import Comparison, compare
from facezoo.sdk.detector import Detector, main_face
from facezoo.sdk.dlib_resnet import dlib_resnet29
from facezoo.sdk.draw import draw
from facezoo.sdk.ensemble import Ensemble
from facezoo.sdk.face_mesh import FaceMesh
from facezoo.sdk.folder import AlignReport, align_folder
from facezoo.sdk.record import face_values, write_faces
from facezoo.sdk.yunet import YuNet

__all__ = [
    "AlignReport",
    "Comparison",
    "Detector",
    "Ensemble",
    "FaceAnalyzer",
    "FaceMesh",
    "YuNet",
    "align_folder",
    "compare",
    "dlib_resnet29",
    "draw",
    "face_values",
    "main_face",
    "write_faces",
]
