"""Do two embeddings show one person?"""

from __future__ import annotations

from dataclasses import dataclass

from facezoo.types import FloatArray, InputError, unit


@dataclass(frozen=True)
class Comparison:
    """Two embeddings of one model.

    Attributes:
        cosine: of the angle between them, -1..1; what is high depends on the model.
        threshold: the cosine from which two embeddings are taken for one person; None if the model states none.
        same: cosine >= threshold; None without a threshold.
    """

    cosine: float
    threshold: float | None
    same: bool | None


def compare(left: FloatArray, right: FloatArray, threshold: float | None) -> Comparison:
    """Compare two embeddings (D,) of one model at the threshold of its contract, or at another.

    Raises:
        InputError: the threshold is not a cosine.
    """
    if threshold is not None and not -1 <= threshold <= 1:
        raise InputError(f"compare: threshold is {threshold}, a cosine lies between -1 and 1")
    cosine = float(unit(left) @ unit(right))
    return Comparison(cosine, threshold, None if threshold is None else cosine >= threshold)
