"""An invented person ready to be photographed: the shape and the skin that follow from its traits."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from facezoo.data.synthetic.hair import END, hanging_sheet, lift_scalp
from facezoo.data.synthetic.head_model import GROUPS, HAIR, LASH, Array, HeadModel
from facezoo.data.synthetic.texture import linear, skin_texture
from facezoo.data.synthetic.traits import Traits, draw_traits

PIVOT = np.array([0.0, 6.9, 0.2], np.float32)
"""About which the head turns on the neck, in the base shape."""
HAIR_SKY = 0.75
"""Share of the sky that hanging hair sees."""


@dataclass(frozen=True, eq=False)
class Identity:
    """One invented person.

    Attributes:
        head: the model it is made from.
        traits: the numbers it is made of.
        shape: (V + S, 3) float32, without expression: the model's vertices, then those of hanging hair.
        aging: (V, 3) float32, how the shape moves in a year.
        rest: (V + S, 3) float32, where each vertex lies on the base shape.
        occlusion: (V + S,) float32, the share of the sky a vertex sees.
        pivot: (3,) about which the head turns on the neck.
        faces, uv, material: the model's triangles that this person shows.
        sheet: the first of the triangles that lie over the others: lashes, and hair that hangs.
        colors: (5, 3) linear RGB of iris, sclera, mouth, teeth, hair.
    """

    head: HeadModel
    traits: Traits
    shape: Array
    aging: Array
    rest: Array
    occlusion: Array
    pivot: Array
    faces: Array
    uv: Array
    material: Array
    sheet: int
    colors: Array

    @functools.cached_property
    def texture(self) -> Array:
        """(H, W, 4) float32, linear RGB of the skin and its share of hair; painted when it is first looked at."""
        return skin_texture(self.head, self.traits)


def make_identity(head: HeadModel, seed: int, number: int) -> Identity:
    """The person `number` of a seed: always the same one, whatever was made before."""
    traits = draw_traits(head, seed, number)
    rng = np.random.default_rng([seed, number, 2])
    order = np.argsort(head.material == LASH, kind="stable")
    faces, uv, material = head.faces[order], head.uv[order], head.material[order]
    shape, rest, occlusion = body_shape(head, traits, traits.age), head.vertices, head.occlusion
    above = rest[:, 1] > PIVOT[1]
    pivot = PIVOT + (shape[above] - rest[above]).mean(axis=0)
    shape, sheet = lift_scalp(head, traits, shape), int((material != LASH).sum())
    if traits.style in END:
        points, at_rest, triangles = hanging_sheet(head, traits, shape, rng)
        faces = np.concatenate([faces, triangles + np.int32(len(shape))])
        uv = np.concatenate([uv, np.zeros((len(triangles), 3, 2), np.float32)])
        material = np.concatenate([material, np.full(len(triangles), HAIR, np.uint8)])
        shape, rest = np.concatenate([shape, points]), np.concatenate([rest, at_rest])
        occlusion = np.concatenate([occlusion, np.full(len(points), HAIR_SKY, np.float32)])
    sclera = np.array([214, 204, 196]) - rng.uniform(0, 18, 3)
    teeth = np.array([206, 196, 176]) + rng.uniform(-14, 14)
    return Identity(
        head,
        traits,
        shape,
        (body_shape(head, traits, 85) - body_shape(head, traits, 25)) / np.float32(60),
        rest,
        occlusion,
        pivot,
        np.ascontiguousarray(faces),
        np.ascontiguousarray(uv),
        np.ascontiguousarray(material),
        sheet,
        linear(np.array([traits.iris, sclera, (104, 40, 40), teeth, traits.hair_color])),
    )


def body_shape(head: HeadModel, traits: Traits, age: float) -> Array:
    """The person's bare shape (V, 3) at an age in years."""
    old = float(np.clip((age - 25) / 65, 0, 1))
    shape = head.vertices.copy()
    weights: dict[str, float] = {}
    for sex, of_sex in (("male", traits.masculinity), ("female", 1 - traits.masculinity)):
        for when, of_age in (("old", old), ("young", 1 - old)):
            for group, share in zip(GROUPS, traits.groups):
                weights[f"macro/{group}-{sex}-{when}"] = share * of_sex * of_age
            extreme = "max" if traits.weight > 0 else "min"
            weights[f"weight/{sex}-{when}-{extreme}"] = abs(traits.weight) * of_sex * of_age
    head.move(shape, weights)
    head.move(shape, traits.details)
    return shape
