"""Faces in photos: detect, align, embed, compare."""

from facezoo.sdk.detector import Detector, main_face
from facezoo.sdk.dlib_resnet import dlib_resnet29
from facezoo.sdk.yunet import YuNet

__all__ = ["Detector", "YuNet", "dlib_resnet29", "main_face"]
