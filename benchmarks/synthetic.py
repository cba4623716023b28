"""Are invented faces quick, found, placed and told apart? python benchmarks/synthetic.py [--model FILE.onnx]

Speed is CPU time of one process per crop of 112 x 112, new people and their skin included, best of several.
Found: the share of photos in which the default detector sees a face, and how far its five points lie from the true
ones, as a share of the distance between the eyes. Told apart: cosines and AUC of a recogniser that has never seen them.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from facezoo.contract import read_contract
from facezoo.data.synthetic import draw_view, load_head, make_identity, render
from facezoo.embedder import load_embedder
from facezoo.registry import DETECTORS
from facezoo.sdk.detector import main_face
from facezoo.types import unit

MARGIN = 56


def photos(identities, images, size, aligned, seed=0):
    head = load_head()
    for number in range(identities):
        identity = make_identity(head, seed, number)
        for image in range(images):
            yield number, render(identity, draw_view(head, identity.traits, image), size, aligned)


def speed(people=5, images=10, repeats=4):
    best = float("inf")
    for repeat in range(repeats):
        start = time.process_time()
        for _ in photos(people, images, 112, True, seed=100 + repeat):
            pass
        best = min(best, (time.process_time() - start) / (people * images))
    print(f"crops of 112 x 112 per second of CPU time: {1 / best:.1f} ({images} images of a person)")


def found(detector, identities, images, size, aligned):
    """Crops are shown to the detector with a margin, as a face that fills its picture is not what it looks for."""
    total = seen = 0
    errors, yaws = [], []
    for _, sample in photos(identities, images, size, aligned):
        picture, marks = sample.image, sample.landmarks
        if aligned:
            picture = cv2.copyMakeBorder(picture, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
            marks = marks + MARGIN
        face = main_face(detector(picture), picture.shape[:2])
        inside = face is not None and (np.abs(face.landmarks.mean(axis=0) - marks.mean(axis=0)) < 40 * size / 112).all()
        total, seen = total + 1, seen + inside
        if inside:
            span = max(np.linalg.norm(marks[1] - marks[0]), 0.6 * np.linalg.norm(marks[3:].mean(0) - marks[:2].mean(0)))
            errors.append((face.landmarks - marks) / span)
            yaws.append(abs(sample.view.yaw))
    distance = np.linalg.norm(errors, axis=2)
    frontal = np.array(yaws) < 20
    kind = "crops with margin" if aligned else "photos"
    print(f"{kind}: face found in {seen} of {total}; distance to its points / eye distance: mean {distance.mean():.3f}")
    for name, at in zip(("left eye", "right eye", "nose", "left mouth corner", "right mouth corner"), range(5)):
        x, y = np.mean(np.array(errors)[frontal, at], axis=0)
        print(
            f"  {name:20} {distance[:, at].mean():.3f}, frontal {distance[frontal, at].mean():.3f} ({x:+.3f}, {y:+.3f})"
        )


def told_apart(model, contract, identities=50, images=8):
    embed = load_embedder(model, contract=read_contract(contract) if contract else None)
    people, crops = zip(*((number, sample.image) for number, sample in photos(identities, images, 112, True)))
    embeddings = unit(embed(crops))
    cosine = embeddings @ embeddings.T
    people = np.array(people)
    above = np.triu_indices(len(people), 1)
    same, cosine_of = (people[:, None] == people)[above], cosine[above]
    genuine, impostor = cosine_of[same], np.sort(cosine_of[~same])
    auc = np.searchsorted(impostor, genuine).mean() / len(impostor)
    np.fill_diagonal(cosine, -2)
    rank1 = (people[cosine.argmax(axis=1)] == people).mean()
    print(f"{identities} people x {images}: same {genuine.mean():.3f}, different {impostor.mean():.3f}, "
          f"AUC {auc:.4f}, rank-1 {rank1:.3f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="recogniser: ONNX file")
    parser.add_argument("--contract", type=Path, help="TOML contract of a file that carries none")
    parser.add_argument("--identities", type=int, default=100)
    parser.add_argument("--images", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)

    load_head()
    next(photos(1, 1, 112, True))  # compiled before anything is timed
    speed()
    detector = DETECTORS.create("yunet")
    found(detector, options.identities, options.images, 480, aligned=False)
    found(detector, options.identities, options.images, 112, aligned=True)
    if options.model:
        told_apart(options.model, options.contract)


if __name__ == "__main__":
    main()
