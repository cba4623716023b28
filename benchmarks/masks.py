"""How many faces a second get a mesh and a mask? python benchmarks/masks.py [--people 12]

On rendered faces, so that nothing but the models is fetched: aligned crops of 112 x 112, and photos of 640 x 640 in
which the face is about 200 pixels wide. CPU time of one thread, median over the faces; everything is loaded and drawn
before. Then how far meshes fitted to landmarks lie from those of the network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from facezoo.data.synthetic import draw_view, load_head, make_identity, render
from facezoo.mask.canonical import canonical
from facezoo.mask.fit import FIVE, SIXTY_EIGHT, TWENTY_FIVE, fit_mesh
from facezoo.mask.outfit import TEMPLATES
from facezoo.mask.raster import rasterise
from facezoo.mask.template import drawn
from facezoo.mask.wear import wear
from facezoo.sdk import FaceMesh, YuNet


def faces(people: int, size: int, aligned: bool) -> list[Any]:
    head, found = load_head(), []
    for number in range(people):
        person = make_identity(head, 0, number)
        view = replace(draw_view(head, person.traits, 0), eye_distance=0.16, place=(0.5, 0.45))
        found.append(render(person, view, size, aligned))
    return found


def timed(what: str, work: Callable[[int], Any], count: int, repeats: int = 3) -> list[Any]:
    """The results of work(0) to work(count - 1), each of which is timed by its fastest repetition."""
    results, times = [work(k) for k in range(count)], []
    for k in range(count):
        best = float("inf")
        for _ in range(repeats):
            start = time.process_time()
            work(k)
            best = min(best, time.process_time() - start)
        times.append(best)
    middle = float(np.median(times))
    print(f"  {what:44} {1e3 * middle:7.2f} ms {1 / max(middle, 1e-9):7.0f} a second")
    return results


def measure(images: Sequence[Any], meshes: Sequence[Any]) -> None:
    count, closed = len(images), canonical().closed
    size = images[0].shape[:2]
    timed("rasterise the whole image", lambda k: rasterise(meshes[k], closed, size), count)
    names = [TEMPLATES[k % len(TEMPLATES)] for k in range(count)]
    timed(
        "wear: all templates in turn",
        lambda k: wear(images[k], meshes[k], drawn(names[k], 0), np.random.default_rng(k)),
        count,
    )


def compare(samples: Sequence[Any], meshes: Sequence[Any]) -> None:
    """Mean distances between fitted meshes and the network's, in distances between the eyes, by yaw."""
    yaw = np.array([abs(sample.view.yaw) for sample in samples])
    bins = [(yaw >= low) & (yaw < high) for low, high in ((0, 15), (15, 30), (30, 90))]
    print("fitted meshes: 0 to 15, to 30, to 65 degrees of yaw, in distances between the eyes")
    sets = {"5 true points": None, "5 of the mesh": FIVE, "25 of the mesh": TWENTY_FIVE, "68 of the mesh": SIXTY_EIGHT}
    for name, groups in sets.items():
        errors = []
        for sample, mesh in zip(samples, meshes, strict=True):
            own = sample.landmarks
            if groups is not None:
                own = np.stack([mesh[list(group), :2].mean(axis=0) for group in groups])
            eyes = [mesh[list(group)].mean(axis=0) for group in FIVE[:2]]
            apart = np.linalg.norm(eyes[1] - eyes[0])
            errors.append(np.linalg.norm((fit_mesh(own) - mesh)[:, :2], axis=1).mean() / apart)
        print(f"  {name:44} " + " ".join(f"{np.mean(np.array(errors)[own]):7.3f}" for own in bins if own.any()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=12)
    people = parser.parse_args().people
    detector, mesh, once = YuNet(threads=1), FaceMesh(threads=1), FaceMesh(threads=1, refine=False)
    print("crops of 112 x 112")
    crops = [face.image for face in faces(people, 112, aligned=True)]
    meshes = timed("mesh of a crop, two looks", lambda k: mesh.of_crops([crops[k]])[0], people)
    timed("mesh of a crop, one look", lambda k: once.of_crops([crops[k]])[0], people)
    five = [np.stack([points[list(own), :2].mean(axis=0) for own in FIVE]) for points in meshes]
    timed("mesh fitted to five points", lambda k: fit_mesh(five[k]), people)
    measure(crops, meshes)
    print("photos of 640 x 640")
    samples = faces(people, 640, aligned=False)
    found = timed("detect", lambda k: detector(samples[k].image), people)
    samples, first = [samples[k] for k in range(people) if found[k]], [faces[0] for faces in found if faces]
    photos = [sample.image for sample in samples]
    meshes = timed(
        "mesh of a box, two looks",
        lambda k: mesh(photos[k], first[k].box[None], first[k].landmarks[None])[0],
        len(photos),
    )
    measure(photos, meshes)
    compare(samples, meshes)


if __name__ == "__main__":
    main()
