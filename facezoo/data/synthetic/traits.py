"""What makes one invented person: numbers drawn from a seed, before any mesh or picture exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from facezoo.data.synthetic.head_model import GROUPS, HeadModel

RGB: TypeAlias = tuple[float, float, float]

# Colours are sRGB, 0..255: the darkest and the lightest skin of each group.
SKIN_TONES = {
    "african": ((84, 54, 40), (150, 104, 78)),
    "asian": ((188, 142, 108), (232, 194, 164)),
    "caucasian": ((212, 162, 134), (242, 208, 188)),
}
HAIR_TONES: Mapping[str, RGB] = {
    "black": (24, 20, 19),
    "brown": (62, 42, 30),
    "light": (122, 92, 60),
    "blond": (170, 143, 108),
    "red": (120, 58, 30),
}
HAIR_SHARES = {
    "african": {"black": 0.92, "brown": 0.08},
    "asian": {"black": 0.85, "brown": 0.15},
    "caucasian": {"black": 0.15, "brown": 0.42, "light": 0.22, "blond": 0.15, "red": 0.06},
}
IRIS_TONES: Mapping[str, RGB] = {
    "dark": (52, 32, 22),
    "brown": (96, 62, 36),
    "green": (96, 104, 70),
    "blue": (96, 124, 150),
    "grey": (112, 118, 122),
}
IRIS_SHARES = {
    "african": {"dark": 0.85, "brown": 0.15},
    "asian": {"dark": 0.7, "brown": 0.3},
    "caucasian": {"dark": 0.1, "brown": 0.35, "green": 0.17, "blue": 0.28, "grey": 0.1},
}
STYLES = ("bald", "buzz", "short", "medium", "long")
STYLE_SHARES = {"male": (0.1, 0.24, 0.46, 0.16, 0.04), "female": (0.0, 0.02, 0.16, 0.27, 0.55)}

MODEST = {"head": 0.7, "chin": 0.65, "eyes": 0.65}
"""Kinds of details that look like a caricature at full strength."""
OWN_TRAIT = ("head/head-age", "head/head-fat", "neck/neck-double", "ears/l-ear-shape-pointed")
"""Details that are left out: age and weight are traits of their own, the last is not human."""


@dataclass(frozen=True)
class Traits:
    """An invented person.

    Attributes:
        seed, number: which person; everything below follows from them.
        groups: shares of african, asian and caucasian in the shape, summing to 1.
        group: the largest share's name.
        sex: "female" or "male".
        masculinity: share of the male shape, 0..1.
        age: years.
        weight: -1 thin .. 1 heavy.
        details: small shape targets and their weights.
        skin, hair_color, iris: sRGB, 0..255.
        style: of the hair, one of STYLES.
        hair: hair thickness, 0..1.
        hairline: how far the hairline lies above or below the common one, decimetres.
        recede: how far it recedes at the temples, decimetres.
        fringe: how far the hair falls over the forehead, 0..1.
        parting: how much lower the hair falls on one side, decimetres a radian; its sign is the side's.
        brows: thickness, height, slope and darkness of the eyebrows.
        beard: darkness of moustache, chin and cheeks, 0..1 each.
        lips: sRGB shift of the lips towards red, 0..1.
        lids: darkness of the eyelids, 0..1.
        freckles, wrinkles: strength, 0..1.
    """

    seed: int
    number: int
    groups: tuple[float, float, float]
    group: str
    sex: str
    masculinity: float
    age: float
    weight: float
    details: dict[str, float]
    skin: RGB
    hair_color: RGB
    iris: RGB
    style: str
    hair: float
    hairline: float
    recede: float
    fringe: float
    parting: float
    brows: tuple[float, float, float, float]
    beard: tuple[float, float, float]
    lips: float
    lids: float
    freckles: float
    wrinkles: float


def draw_traits(head: HeadModel, seed: int, number: int) -> Traits:
    """The person `number` of a seed; the same for the same two numbers, whatever else was drawn before."""
    rng = np.random.default_rng([seed, number, 0])
    first = int(rng.integers(len(GROUPS)))
    shares = rng.dirichlet([0.5] * len(GROUPS)) * 0.3
    shares[first] += 0.7
    group = GROUPS[int(shares.argmax())]
    sex = "male" if rng.random() < 0.5 else "female"
    masculinity = float(np.clip(rng.normal(0.9 if sex == "male" else 0.1, 0.1), 0, 1))
    age = float(np.clip(rng.gamma(4.5, 5.5) + 17, 18, 85))
    grey = float(np.clip(rng.normal((age - 48) / 22, 0.25), 0, 1))
    lightness = rng.beta(2.0, 2.0)
    skin = sum(share * _between(*SKIN_TONES[name], lightness) for share, name in zip(shares, GROUPS))
    hair = _tone(rng, HAIR_TONES, HAIR_SHARES[group], 0.25)
    hair = hair + grey * (np.array([168, 166, 162]) - hair)
    style = str(rng.choice(STYLES, p=STYLE_SHARES[sex]))
    bearded = sex == "male" and rng.random() < 0.55
    full = rng.random() < 0.45
    beard = rng.uniform(0.15, 0.95) * np.array([1, 1, 1 if full else 0.15]) * rng.uniform(0.6, 1, 3) * bearded
    shaved = 0.18 * (sex == "male") * rng.random()
    old_man = sex == "male" and age > 35
    return Traits(
        seed=seed,
        number=number,
        groups=tuple(float(s) for s in shares),  # type: ignore[arg-type]
        group=group,
        sex=sex,
        masculinity=masculinity,
        age=age,
        weight=float(np.clip(rng.normal(0.05, 0.45), -1, 1)),
        details=_draw_details(rng, head),
        skin=_rgb(np.clip(skin + rng.normal(0, 5, 3), 8, 250)),
        hair_color=_rgb(hair),
        iris=_rgb(_tone(rng, IRIS_TONES, IRIS_SHARES[group], 0.3)),
        style=style,
        hair=float(rng.uniform(0.2, 1)),
        hairline=float(rng.normal(0, 0.06)),
        recede=float(old_man * rng.exponential(0.12) + rng.exponential(0.04)),
        fringe=float((rng.random() < 0.3) * (style in ("short", "medium", "long")) * rng.uniform(0.3, 0.8)),
        parting=float(rng.normal(0, 0.25) * (style in ("short", "medium", "long"))),
        brows=(
            float(np.clip(rng.normal(0.055 if sex == "male" else 0.036, 0.010), 0.022, 0.085)),
            float(rng.normal(0, 0.02)),
            float(rng.normal(0.05, 0.1)),
            float(rng.uniform(0.65, 1)),
        ),
        beard=_rgb(np.maximum(beard, shaved)),
        lips=float(rng.uniform(0.3, 1.0 if sex == "female" else 0.55)),
        lids=float(rng.uniform(0, 0.3) * (sex == "female")),
        freckles=float((rng.random() < 0.2) * rng.random() * shares[2]),
        wrinkles=float(np.clip((age - 32) / 45, 0, 1)),
    )


def _draw_details(rng: np.random.Generator, head: HeadModel) -> dict[str, float]:
    """About a fifth of the detail targets, at most one of each opposed pair, most of them weak."""
    details: dict[str, float] = {}
    taken = set()
    for name in rng.permutation(np.array([name for name in head.details if not name.startswith(OWN_TRAIT)])):
        stem = str(name).rpartition("-")[0]
        if stem not in taken and rng.random() < 0.3:
            taken.add(stem)
            weight = float(np.clip(rng.gamma(2.0, 0.17), 0, 0.8))
            details[str(name)] = weight * MODEST.get(str(name).partition("/")[0], 1.0)
    return details


def _between(low: RGB, high: RGB, share: float) -> np.ndarray:
    return np.array(low) + share * (np.array(high) - np.array(low))


def _tone(rng: np.random.Generator, tones: Mapping[str, RGB], shares: Mapping[str, float], spread: float) -> np.ndarray:
    name = str(rng.choice(list(shares), p=list(shares.values())))
    return np.clip(np.array(tones[name]) * np.exp(rng.normal(0, spread)) + rng.normal(0, 3, 3), 4, 230)


def _rgb(values: np.ndarray) -> RGB:
    r, g, b = (float(v) for v in values)
    return r, g, b
