"""What changes from photo to photo of one person: pose, expression, light, camera and surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facezoo.data.synthetic.head_model import GROUPS, Array, HeadModel
from facezoo.data.synthetic.traits import Traits

STRONGEST = {"eye-left-closure": 0.45, "eye-left-slit": 0.45, "mouth-open": 0.5}
"""Units that go less far than the others: eyes stay open, and lips on the teeth."""
SMILE, SMILES = "mouth-corner-puller", 0.5
"""People smile at cameras: the unit, and in which share of the photos with an expression it is there."""


@dataclass(frozen=True, eq=False)
class View:
    """One photo of one person.

    Attributes:
        yaw, pitch, roll: of the head, degrees; yaw > 0 turns to image right, pitch > 0 looks down,
            roll > 0 tilts clockwise in the image.
        turn: the body's own yaw, degrees.
        expression: shape targets and their weights.
        years: how much older the person is than its traits say.
        gaze: yaw and pitch of the eyes in the head, degrees.
        distance: of the camera, decimetres; near cameras enlarge the nose.
        lights: (2, 3) unit directions to the two lights, camera axes (x right, y up, z to the viewer).
        light_colors: (2, 3) linear RGB.
        sky, ground: (3,) linear RGB of the light from everywhere.
        exposure: factor on all light.
        eye_distance: between the eyes in an unaligned photo, as a share of its width.
        place: centre of the face in an unaligned photo, as shares of width and height.
        blur: standard deviation, pixels of a 112 pixel crop.
        noise: standard deviation of the sensor's noise, grey levels.
        quality: of the JPEG compression the photo has gone through, 1..100.
        cloth: linear RGB twice, width of the stripes, depth of the neckline.
        scene: seed of the background.
    """

    yaw: float
    pitch: float
    roll: float
    turn: float
    expression: dict[str, float]
    years: float
    gaze: tuple[float, float]
    distance: float
    lights: Array
    light_colors: Array
    sky: Array
    ground: Array
    exposure: float
    eye_distance: float
    place: tuple[float, float]
    blur: float
    noise: float
    quality: int
    cloth: Array
    scene: int

    @property
    def light(self) -> float:
        """From which side the first light comes, degrees: 0 is the camera's, > 0 image right."""
        return float(np.degrees(np.arctan2(self.lights[0, 0], self.lights[0, 2])))

    @property
    def contrast(self) -> float:
        """How much brighter the first light is than everything else together."""
        rest = self.light_colors[1].mean() + (self.sky.mean() + self.ground.mean()) / 2
        return float(self.light_colors[0].mean() / rest)


def draw_view(head: HeadModel, traits: Traits, image: int) -> View:
    """The photo `image` of a person; the same for the same numbers, whatever else was drawn before."""
    rng = np.random.default_rng([traits.seed, traits.number, 3, image])
    yaw = float(np.clip(rng.normal(0, 22), -65, 65))
    pitch = float(np.clip(rng.normal(0, 9), -28, 28))
    roll = float(np.clip(rng.normal(0, 6), -25, 25))
    key = rng.uniform(0.5, 1.7)
    fill = key * rng.uniform(0.05, 0.5)
    ambient = rng.uniform(0.25, 0.8)
    tint = np.exp(rng.normal(0, 0.10) * np.array([1, 0, -1]))  # warm or cold
    second = np.exp(rng.normal(0, 0.12) * np.array([1, 0, -1]))
    around = np.exp(rng.normal(0, 0.08, 3))
    sky = ambient * around * tint**0.5
    return View(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        turn=0.5 * yaw + float(rng.normal(0, 8)),
        expression=_draw_expression(rng, head, traits),
        years=float(np.clip(rng.normal(0, 2.5), -6, 6)),
        gaze=(float(np.clip(-0.4 * yaw + rng.normal(0, 6), -22, 22)), float(np.clip(rng.normal(0, 4), -10, 10))),
        distance=float(rng.uniform(6, 22)),
        lights=np.stack([_direction(rng, 48, 35), _direction(rng, 70, 15)]).astype(np.float32),
        light_colors=np.stack([key * tint, fill * second]).astype(np.float32),
        sky=sky.astype(np.float32),
        ground=(sky * rng.uniform(0.25, 0.8) * np.exp(rng.normal(0, 0.08, 3))).astype(np.float32),
        exposure=float(np.exp(rng.normal(0, 0.18))) / (0.75 * key + fill * 0.5 + 0.75 * ambient),
        eye_distance=float(rng.uniform(0.10, 0.17)),
        place=(float(rng.uniform(0.38, 0.62)), float(rng.uniform(0.40, 0.55))),
        blur=float(rng.gamma(2.0, 0.22)),
        noise=float(rng.gamma(2.0, 1.2)),
        quality=int(rng.integers(55, 97)),
        cloth=_draw_cloth(rng),
        scene=int(rng.integers(2**31)),
    )


def _draw_expression(rng: np.random.Generator, head: HeadModel, traits: Traits) -> dict[str, float]:
    """Up to three units, left and right together, in the person's own mix of the groups' versions."""
    units = sorted({unit.replace("-right", "-left") for unit in head.expressions})
    expression: dict[str, float] = {}
    chosen = [str(unit) for unit in rng.choice(units, size=int(rng.integers(4)), replace=False)]
    if chosen and rng.random() < SMILES:
        chosen[0] = SMILE
    for unit in dict.fromkeys(chosen):
        strength = float(rng.uniform(0.1, STRONGEST.get(unit, 0.8)))
        for twin in {unit, unit.replace("-left", "-right")}:
            for group, share in zip(GROUPS, traits.groups):
                expression[f"expression/{group}/{twin}"] = strength * share
    return dict(sorted(expression.items()))


def _direction(rng: np.random.Generator, spread: float, height: float) -> Array:
    """A unit vector: degrees to the side and above the camera are drawn around 0 and `height`."""
    side, up = np.radians(rng.normal(0, spread)), np.radians(np.clip(rng.normal(height, 18), -15, 80))
    return np.array([np.sin(side) * np.cos(up), np.sin(up), np.cos(side) * np.cos(up)])


def _draw_cloth(rng: np.random.Generator) -> Array:
    color = rng.uniform(0.02, 0.7) * rng.dirichlet([3, 3, 3]) * 2
    other = color if rng.random() < 0.65 else rng.uniform(0.02, 0.7) * rng.dirichlet([3, 3, 3]) * 2
    return np.array([*color, *other, rng.uniform(0.08, 0.3), rng.uniform(0.25, 1.0)], np.float32)
