"""Several models as one: their embeddings side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facezoo.align import View, places, recrop, stacked, whole_view
from facezoo.embedder import Embedder, load_embedder
from facezoo.registry import EMBEDDERS
from facezoo.types import Contract, Crop, FloatArray, InputError, unit

if TYPE_CHECKING:
    from typing_extensions import Self

OF_MEMBERS = {"input_size", "color", "mean", "std", "template", "embedding_dim"}
"""Entries of a contract that are each member's own."""


class Ensemble(Embedder):
    """Concatenates the embeddings of its members, each of which sees the face as its own contract asks.

    With unit embeddings the cosine of two faces is the mean of the members' cosines, weighted by `weights`, and the
    norm is 1. FaceX-Zoo's model4 is a network of the upper half and one of the whole face.

    The crop of an ensemble is one from which the members' are cut; where there is none, such as of members with
    different templates, it is their crops one below the other (`facezoo.align.stacked`).

    Args:
        members: two or more.
        weights: of the members' cosines, above 0; all alike by default.
        normalise: scale each member's embedding to length 1; without, a member counts by the norms it gives, and the
            norm of the whole tells of quality as theirs do.
        batch_size: crops per forward pass of each member.

    Raises:
        InputError: fewer than two members, weights that do not fit, or members that differ in adding the embedding of
            the mirror image.
    """

    def __init__(
        self,
        members: Sequence[Embedder],
        weights: Sequence[float] | None = None,
        normalise: bool = True,
        batch_size: int = 32,
    ) -> None:
        if len(members) < 2:
            raise InputError(f"ensemble: {len(members)} models; an ensemble has two or more")
        weights = [1.0] * len(members) if weights is None else list(weights)
        if len(weights) != len(members) or not all(0 < weight < float("inf") for weight in weights):
            raise InputError(
                f"ensemble: weights are {weights} for {len(members)} models; give one above 0 to each, or leave a "
                "model out"
            )
        flips = {member.contract.flip for member in members}
        if len(flips) > 1:
            names = ", ".join(f"{m.contract.name} {'does' if m.contract.flip else 'does not'}" for m in members)
            raise InputError(f"ensemble: models differ in adding the mirror image ({names}); write flip=true or false")
        self.members, self.normalise = list(members), normalise
        share = np.array(weights) / sum(weights)
        # The product of two embeddings has the factor twice. Raw ones keep their lengths where all count alike.
        self.factors = np.sqrt(share if normalise else share * len(members))
        self.views = _needed([(m.contract.template, m.contract.input_size) for m in members])
        template, size = self.views[0] if len(self.views) == 1 else stacked(self.views)
        contracts = [member.contract for member in members]
        contract = Contract(
            name="+".join(own.name for own in contracts),
            input_size=size,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            template=template,
            embedding_dim=sum(own.embedding_dim for own in contracts),
            flip=flips.pop(),
            license=", ".join(dict.fromkeys(own.license for own in contracts)),
            training_data="; ".join(dict.fromkeys(own.training_data for own in contracts)),
            weights_sha256=_digest(contracts, weights, normalise),
        )
        super().__init__(contract, batch_size)

    def under(self, **changes: Any) -> Self:
        """As of any embedder; what is a member's own is not for the ensemble to change."""
        if own := sorted(changes.keys() & OF_MEMBERS):
            raise InputError(f"{self.contract.name}: {own[0]} is each model's own; change their contracts")
        return super().under(**changes)

    def forward(self, batch: FloatArray) -> FloatArray:
        """Embeddings (B, D) without the mirror image, of crops (B, 3, H, W) RGB, 0..255."""
        return self._side_by_side(list(np.rint(batch).transpose(0, 2, 3, 1).astype(np.uint8)), flip=False)

    def _embed(self, chunk: list[Crop]) -> FloatArray:
        self.check(chunk)
        return self._side_by_side(chunk, self.contract.flip)

    def _side_by_side(self, chunk: list[Crop], flip: bool) -> FloatArray:
        strips = places([size for _, size in self.views])
        columns = []
        for member, factor in zip(self.members, self.factors, strict=True):
            view = member.contract.template, member.contract.input_size
            if view in self.views:
                strip = strips[self.views.index(view)]
                own = [np.ascontiguousarray(crop[strip]) for crop in chunk]
            else:
                aligned = whole_view(view)
                strip = strips[self.views.index(aligned)]
                own = [recrop(crop[strip], *view, aligned[0]) for crop in chunk]
            rows = member.under(flip=flip)._embed(own)
            columns.append(factor * (unit(rows) if self.normalise else rows))
        return np.concatenate(columns, axis=1, dtype=np.float32)


@EMBEDDERS.register
def ensemble(
    models: list[str],
    weights: list[float] | None = None,
    normalise: bool = True,
    flip: bool | None = None,
    threshold: float | None = None,
    batch_size: int = 32,
    device: str = "cpu",
) -> Ensemble:
    """Several models as one: `ensemble:models=["upper.onnx","whole.safetensors"]`.

    Args:
        models: files, run folders and names, in double quotes.
        weights: of their cosines; all alike by default.
        normalise: scale each embedding to length 1 before they are put side by side.
        flip: overrides the flip of all; needed where they differ.
        threshold: cosine from which two faces are taken for one person, as measured for the ensemble.
        batch_size: crops per forward pass of each.
        device: of the torch models among them.
    """
    made = Ensemble([_loaded(model, flip, device) for model in models], weights, normalise, batch_size)
    return made if threshold is None else made.under(threshold=threshold)


def _loaded(model: str, flip: bool | None, device: str) -> Embedder:
    of_torch = Path(model).is_dir() or model.endswith(".safetensors")
    return load_embedder(model, flip=flip, device=device if of_torch else "cpu")


def _needed(views: Iterable[View]) -> list[View]:
    """The views without those that can be cut out of another one, pixel by pixel; each once."""
    distinct = list(dict.fromkeys(views))
    return [view for view in distinct if view == whole_view(view) or whole_view(view) not in distinct]


def _digest(contracts: Sequence[Contract], *how: object) -> str:
    """Tells these members, put together like this, from others; empty where one of them has no digest."""
    own = [contract.weights_sha256 for contract in contracts]
    return sha256(json.dumps([own, *how]).encode()).hexdigest() if all(own) else ""
