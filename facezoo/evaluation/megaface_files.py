"""MegaFace from the lists that its devkit and FaceX-Zoo hand on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.noise import Noise, bare, read_json_list, read_noise
from facezoo.evaluation.open_set import Ties
from facezoo.evaluation.photos import Photo
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError


@BENCHMARKS.register
def megaface(
    root: Path,
    facescrub_list: Path | None = None,
    distractor_list: Path | None = None,
    facescrub: str = "facescrub",
    distractors: str = "megaface",
    masked_facescrub: str | None = None,
    size: int | None = None,
    noise: Noise = "drop",
    facescrub_noise: Path | None = None,
    distractor_noise: Path | None = None,
    aligned: str | None = "arcface",
    ties: Ties = "miss",
    ranks: int = 10,
    resamples: int = 1000,
    seed: int = 0,
    name: str = "megaface",
) -> MegaFace:
    """MegaFace with FaceScrub probes: lists in JSON, photos below two folders.

    Args:
        root: folder of both.
        facescrub_list: JSON of "path" and "id"; `root/facescrub_features_list.json` unless given. A photo without id
            belongs to its folder.
        distractor_list: JSON of "path"; `root/megaface_features_list.json` unless given.
        facescrub, distractors: folders of the photos in root; the paths of the lists are relative to them.
        masked_facescrub: folder in root of FaceScrub photos that are masked already, with the paths of the list: they
            are the probes then.
        size: how many distractors of the list to take, the first; all unless given.
        noise: what becomes of the photos in the noise lists: drop, centre, zero (FaceX-Zoo) or push (insightface).
        facescrub_noise, distractor_noise: noise lists.
        aligned: template of the crops; none if they are raw photos.
        ties: miss, or hit as in FaceX-Zoo.
        ranks: largest rank.
        resamples, seed: of the bootstrap over identities.
        name: in the report.
    """
    probes, ids = read_json_list(facescrub_list or root / "facescrub_features_list.json")
    strangers, _ = read_json_list(distractor_list or root / "megaface_features_list.json")
    if size is not None and not 1 <= size <= len(strangers):
        raise InputError(f"{name}: size is {size}, the list has {len(strangers)} distractors")
    strangers = strangers[:size]
    people = ids or [path.rpartition("/")[0] for path in probes]
    bad = read_noise(facescrub_noise) if facescrub_noise else set()
    bad_strangers = read_noise(distractor_noise, distractors=True) if distractor_noise else set()
    noisy = np.array([bare(path) in bad for path in probes] + [path in bad_strangers for path in strangers])
    for path, listed, there in (
        (facescrub_noise, bad, noisy[: len(probes)]),
        (distractor_noise, bad_strangers, noisy[len(probes) :]),
    ):
        if listed and size is None and not there.any():
            raise InputError(f"{path}: names none of the photos of the list")
    photos = [Photo(path, root / facescrub / path) for path in probes]
    photos += [Photo(path, root / distractors / path) for path in strangers]
    if masked_facescrub:
        photos += [Photo(f"{masked_facescrub}/{path}", root / masked_facescrub / path) for path in probes]
    # One photo of each folder tells whether the folders are right; a million are not looked for one by one.
    for source in (photos[0].source, photos[len(probes)].source, photos[-1].source):
        if isinstance(source, Path) and not source.is_file():
            raise InputError(
                f"{source}: no such photo; correct root, or the folders facescrub=, distractors=, masked_facescrub="
            )
    identity = np.unique(people, return_inverse=True)[1]
    return MegaFace(
        name,
        photos,
        identity,
        len(strangers),
        bool(masked_facescrub),
        aligned,
        noisy,
        noise,
        ties,
        ranks,
        resamples,
        seed,
    )


BENCHMARKS.preset("megaface_mask", "megaface:masked_facescrub=facescrub_mask,name=megaface_mask")
BENCHMARKS.preset("megaface@facexzoo", "megaface:noise=zero,ties=hit")
BENCHMARKS.preset(
    "megaface_mask@facexzoo", "megaface:masked_facescrub=facescrub_mask,name=megaface_mask,noise=zero,ties=hit"
)
BENCHMARKS.preset("megaface@insightface", "megaface:noise=push")
