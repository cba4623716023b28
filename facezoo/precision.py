"""In which type the backbone computes: `train.amp`, and what the device at hand is fast in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from facezoo import distributed
from facezoo.config import Amp

log = logging.getLogger(__name__)

TYPES: dict[Amp, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}

INSTRUCTIONS: dict[Amp, tuple[str, ...]] = {"bf16": ("avx512_bf16", "amx_bf16"), "fp16": ("avx512_fp16", "amx_fp16")}
"""Of x86 processors, as torch names them. Without them MobileFaceNet took ten times as long as in float32."""


def find_precision(amp: Amp, device: torch.device) -> Amp:
    """What `amp` is on a device: `auto` is bf16 where that is fast, else off; all others stay."""
    if amp != "auto":
        return amp
    return "bf16" if is_fast("bf16", device) else "off"


def warn_if_slow(amp: Amp, device: torch.device) -> None:
    """Tell who chose a type of two bytes for a processor that has to compute it in pieces."""
    if amp in TYPES and device.type == "cpu" and not is_fast(amp, device) and distributed.is_first():
        log.warning(
            "train.amp is %s, for which torch knows no instructions of this processor: a step may take ten times as "
            "long as in float32; give train.amp auto, or off",
            amp,
        )


def is_fast(amp: Amp, device: torch.device) -> bool:
    """Whether a device computes in a type of two bytes rather than converting it back and forth."""
    if device.type == "cuda":
        return amp == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and any(_capabilities().get(name, False) for name in INSTRUCTIONS[amp])


def _capabilities() -> Mapping[str, Any]:
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    return {"avx512_bf16": torch.cpu._is_avx512_bf16_supported()}  # of older versions of torch
