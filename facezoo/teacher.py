"""Where a student's teacher comes from: embeddings on disk, a torch model, or an ONNX file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facezoo import distributed
from facezoo.align import similarity, template_points, views_of
from facezoo.config import Config
from facezoo.data.dataset import Dataset
from facezoo.distillation.loss import Shape, kinds
from facezoo.distillation.maps import Maps
from facezoo.distillation.teaching import Shown, Teacher
from facezoo.embedder import Embedder, TorchEmbedder, load_embedder
from facezoo.evaluation.feature_file import is_features, names_digest
from facezoo.evaluation.features import Stored
from facezoo.head_file import HeadFile
from facezoo.heads import Classifier, create_head
from facezoo.types import Contract, FloatArray, InputError

log = logging.getLogger(__name__)


class View:
    """A student's images as another model takes them.

    The model sees what the student sees, with all augmentation, in its own size, colour order, mean and std. Where it
    is of another alignment template, the picture is moved by the similarity between the two; what lies beyond the
    student's crop is black, as in `facezoo.align.warp`.

    Args:
        contract: of the model.
        student: the student's; template and size of its images.

    Raises:
        InputError: an ensemble whose models take crops of several templates.
    """

    def __init__(self, contract: Contract, student: Contract) -> None:
        if views_of(contract.template):
            raise InputError(
                f"model.teacher: {contract.name} takes crops of several templates, which are not made of a student's; "
                "name a folder that facezoo extract has made with it"
            )
        self.contract, self.size = contract, student.input_size
        self._grid: Tensor | None = None
        if contract.template != student.template:
            here = template_points(student.template, self.size)
            matrix = similarity(here, template_points(contract.template, contract.input_size))
            self._grid = _grid(matrix, contract.input_size, self.size)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images (b, 3, H_t, W_t) in the model's colour order from (b, 3, H, W), RGB in [-1, 1]."""
        pixels = images.float() * 127.5 + 127.5
        if self._grid is not None:
            self._grid = self._grid.to(images.device)
            grid = self._grid.expand(len(pixels), -1, -1, -1)
            pixels = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        elif self.size != self.contract.input_size:
            pixels = _fit(pixels, self.contract.input_size)
        if self.contract.color == "bgr":
            pixels = pixels.flip(1)
        means, stds = self.contract.mean, self.contract.std
        mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (means, stds))
        return (pixels - mean) / std


def _grid(matrix: FloatArray, size: tuple[int, int], source: tuple[int, int]) -> Tensor:
    """Where each pixel of a picture of `size` lies in the source (1, H, W, 2), in the units of `grid_sample`; the 2 x 3
    matrix goes the other way."""
    y, x = np.mgrid[: size[0], : size[1]]
    back = cv2.invertAffineTransform(matrix)
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.asarray(back).T
    return torch.from_numpy((2 * places + 1) / np.array(source[::-1]) - 1).float()[None]


def _fit(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """As `facezoo.align.fit`: scaled by the height and centred in the width; smoothed where it shrinks."""
    width = max(1, round(pixels.shape[3] * size[0] / pixels.shape[2]))
    shrinks = pixels.shape[2] > size[0]
    scaled = F.interpolate(pixels, (size[0], width), mode="bilinear", align_corners=False, antialias=shrinks)
    start = abs(width - size[1]) // 2
    if width >= size[1]:
        return scaled[..., start : start + size[1]]
    return F.pad(scaled, (start, size[1] - width - start))


class TorchTeacher(Teacher):
    """A torch network in evaluation mode, without gradients, under the autocast of the run.

    Args:
        embed: the network with its contract.
        view: makes its images of the student's.
        maps: whether it is asked for its feature maps.
    """

    def __init__(self, embed: TorchEmbedder, view: View, maps: bool) -> None:
        self.network, self.view = embed.model.eval().requires_grad_(False), view
        self.embedding_dim = embed.contract.embedding_dim
        self._maps = Maps(self.network) if maps else None

    @property
    def map_shapes(self) -> Mapping[int, Shape]:
        return self._maps.shapes if self._maps else {}

    def want_maps(self, stages: Iterable[int]) -> None:
        if self._maps:
            self._maps.want(stages)

    @torch.no_grad()  # not inference_mode: what that makes cannot be kept for the student's backward pass
    def __call__(self, images: Tensor, samples: Tensor) -> Shown:
        self.network.to(images.device)
        seen = self.view(images)
        embeddings, maps = self._maps(seen) if self._maps else (self.network(seen), {})
        return Shown(embeddings.float(), maps=maps)


class OnnxTeacher(Teacher):
    """An ONNX file or a named model; it runs on the CPU, whatever the student runs on.

    Args:
        embed: the network with its contract.
        view: makes its images of the student's.

    Raises:
        InputError: it gives another dimension than its contract says, or cannot be run.
    """

    def __init__(self, embed: Embedder, view: View) -> None:
        embed([np.zeros((*embed.contract.input_size, 3), np.uint8)])  # what is wrong with it shows before the training
        self.embed, self.view = embed, view
        self.embedding_dim = embed.contract.embedding_dim

    @torch.no_grad()
    def __call__(self, images: Tensor, samples: Tensor) -> Shown:
        batch = self.view(images).cpu().contiguous().numpy()
        step = self.embed.batch_size
        parts = [self.embed.forward(batch[start : start + step]) for start in range(0, len(batch), step)]
        return Shown(torch.from_numpy(np.concatenate(parts)).float().to(images.device))


class StoredTeacher(Teacher):
    """Embeddings that `facezoo extract` has made of the data, found by the images' names.

    They are of the whole crop, whatever augmentation the student sees: of a masked sample (`masked:data=...`) they are
    the bare face's. Where the contract says flip and both halves are there, it is the sum of crop and mirror image: the
    natural target of either.

    Args:
        folder: of the features.
        data: what is trained on.
    """

    def __init__(self, folder: Path, data: Dataset) -> None:
        stored = Stored.open(folder)
        self.file, self.flip = stored.file, stored.contract.flip
        self.embedding_dim = stored.contract.embedding_dim
        if self.file.header.data == names_digest(_Names(data, data.path)):
            self.rows = np.arange(len(data))
        else:  # features of other data are found by the photos: masked or gathered samples are taught what those show
            self.rows = self.file.rows_of(_Names(data, data.origin))
        self.failed = self.file.failed[self.rows]
        missing = int(self.failed.sum())
        if missing == len(data):
            raise InputError(f"{folder}: none of the {missing:,} images has an embedding")
        if missing and distributed.is_first():
            log.warning("%s: %d of %d images have no embedding and teach nothing", folder, missing, len(data))

    def __call__(self, images: Tensor, samples: Tensor) -> Shown:
        places = samples.cpu().numpy()
        found = np.asarray(self.file.rows(self.rows[places], self.flip), np.float32)
        failed = self.failed[places]
        known = torch.from_numpy(~failed).to(images.device) if failed.any() else None
        return Shown(torch.from_numpy(found).to(images.device), known)


class _Names(Sequence[str]):
    """The names of the images of a dataset, made when they are asked for."""

    def __init__(self, data: Dataset, name: Callable[[int], str]) -> None:
        self.data, self.name = data, name

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index):
        return self.name(range(len(self))[index])


def create_teacher(config: Config, data: Dataset, student: Contract) -> Teacher:
    """The teacher of the config for a student, with its head where logits are compared.

    Raises:
        InputError: there is none, it cannot show what the losses compare, or it cannot be combined with the rest.
    """
    model, seen = config.model, kinds(config.model.distillation)
    if not model.teacher:
        raise InputError(
            "model.teacher is empty; name a model (.onnx, .safetensors, a run folder, dlib-resnet29) or a folder that "
            "facezoo extract has made of the data"
        )
    if "maps" in seen and config.train.compile:
        raise InputError("train.compile: feature maps are not seen in a compiled network; leave it out")
    teacher = _open(model.teacher, data, student, "maps" in seen)
    if "maps" in seen and not isinstance(teacher, TorchTeacher):
        raise InputError(f"model.teacher: {model.teacher} shows no feature maps; a torch model (.safetensors) does")
    if ("logits" in seen) != bool(model.teacher_head):
        raise InputError(
            "model.distillation compares logits: name the teacher's head file or run folder in model.teacher_head"
            if "logits" in seen
            else "model.teacher_head has no effect, no loss of model.distillation compares logits; leave it out"
        )
    if model.teacher_head:
        teacher.head = _head(config, data, teacher.embedding_dim)
    return teacher


def _open(name: str, data: Dataset, student: Contract, maps: bool) -> Teacher:
    if is_features(name):
        return StoredTeacher(Path(name), data)
    # Building a network draws random weights: the run's own random state must not notice.
    with torch.random.fork_rng():
        embed = load_embedder(name)
    view = View(embed.contract, student)
    if isinstance(embed, TorchEmbedder):
        return TorchTeacher(embed, view, maps)
    return OnnxTeacher(embed, view)


def _head(config: Config, data: Dataset, embedding_dim: int) -> Classifier:
    """The teacher's own margin and centres, for the classes of the data and split over the ranks as the student's."""
    path = config.model.teacher_head
    file = HeadFile.read(Path(path))
    if file.embedding_dim != embedding_dim:
        raise InputError(f"{path}: centres of {file.embedding_dim} dimensions, the teacher gives {embedding_dim}")
    known = set(file.classes)
    if missing := [name for name in data.classes if name not in known]:
        raise InputError(
            f"{path}: has no centre of {len(missing):,} of {len(data.classes):,} classes of the data, the first: "
            f"{', '.join(missing[:3])}"
        )
    with torch.random.fork_rng():
        head = create_head(
            file.spec, embedding_dim, len(data.classes), sub_centres=file.sub_centres, spaces=data.spaces
        )
    file.fill(head, data.classes, "model.teacher_head")
    return head.eval().requires_grad_(False)
