"""Faces in photos: detect, align, embed, compare."""

from facezoo.sdk.analyzer import FaceAnalyzer
from facezoo.sdk.detector import Detector, main_face
from facezoo.sdk.dlib_resnet import dlib_resnet29
from facezoo.sdk.draw import draw
from facezoo.sdk.folder import AlignReport, align_folder
from facezoo.sdk.yunet import YuNet

__all__ = ["AlignReport", "Detector", "FaceAnalyzer", "YuNet", "align_folder", "dlib_resnet29", "draw", "main_face"]
