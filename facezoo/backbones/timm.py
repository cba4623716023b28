"""Any network of timm as a backbone; https://github.com/huggingface/pytorch-image-models."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import torch
from torch import Tensor, nn

from facezoo.backbones.adapted import SMALL_MAP, Stem
from facezoo.backbones.layers import GDC, FlattenLinear, PoolLinear, Size, check_options, height_width
from facezoo.registry import BACKBONES
from facezoo.types import InputError


@BACKBONES.register(name="timm")
class Timm(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    timm's network up to its last map, then one of the face networks' embedding outputs. Tokens of a transformer
    count as the pixels of a map; class tokens are left out.

    Args:
        model: timm's name of the network, such as `resnet50` or `swin_tiny_patch4_window7_224`.
        stem: `keep` leaves the network as it is, `halve` halves the stride of its first convolution, `auto` halves
            it if the last map would be smaller than 7 x 7. Transformers are built for the crop's size and keep it.
        output: `gdc` global depthwise convolution, `flatten` BatchNorm, flatten, linear, `pool` mean and linear.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: before the last linear map of `flatten` and `pool`.
        pretrained: start from timm's ImageNet weights, which timm downloads.
        drop_path: share of the last block's crops that go around it in training, of networks that have it.

    Raises:
        InputError: timm has no such network, or it does not take the size.
    """

    def __init__(
        self,
        model: str,
        stem: Stem = "auto",
        output: Literal["gdc", "flatten", "pool"] = "gdc",
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.0,
        pretrained: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        import timm

        check_options("timm", embedding_dim, dropout)
        if output == "gdc" and dropout:
            raise InputError("timm: the output gdc has no dropout; leave dropout out or take output=flatten or pool")
        if not timm.is_model(model):
            close = difflib.get_close_matches(model, timm.list_models(), 3)
            hint = f"; close: {', '.join(close)}" if close else "; timm.list_models() names them"
            raise InputError(f"timm has no network {model!r}{hint}")
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        facts = timm.get_pretrained_cfg(model)
        fixed = facts is not None and facts.fixed_input_size
        if fixed and stem == "halve":
            raise InputError(f"timm: {model} is built for its crop size and keeps its stem; leave stem=halve out")
        if not 0 <= drop_path < 1:
            raise InputError(f"timm: drop_path is {drop_path}, it must be at least 0 and below 1")
        size: dict[str, Any] = {"img_size": self.input_size} if fixed else {}
        if drop_path:
            size["drop_path_rate"] = drop_path
        try:
            self.body: Any = timm.create_model(model, pretrained=pretrained, num_classes=0, **size)
            if stem == "halve" or (stem == "auto" and not fixed and self._ends_small()):
                halved = _halve(self.body, facts.first_conv if facts else None)
                if stem == "halve" and not halved:
                    raise InputError(f"timm: {model} does not begin with a strided convolution; write stem=keep")
            channels, *sides = self._try()
        # timm's networks report a size they do not take by any of these.
        except (TypeError, AssertionError, RuntimeError) as error:
            raise InputError(f"timm: {model} cannot be built for {self.input_size} crops ({error})") from None
        if output == "gdc":
            self.output: nn.Module = GDC(channels, (sides[0], sides[1]), embedding_dim)
        elif output == "flatten":
            self.output = FlattenLinear(channels, (sides[0], sides[1]), embedding_dim, dropout)
        else:
            self.output = PoolLinear(channels, embedding_dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self._map(x))

    def _map(self, x: Tensor) -> Tensor:
        """The last map (B, C, h, w); tokens (B, N, C) become (B, C, N, 1)."""
        x = self.body.forward_features(x)
        if x.dim() == 3:
            return x[:, getattr(self.body, "num_prefix_tokens", 0) :].transpose(1, 2).unsqueeze(-1)
        if x.dim() != 4:
            raise RuntimeError(f"it gives {tuple(x.shape)}, not a map")
        return x.permute(0, 3, 1, 2) if getattr(self.body, "output_fmt", "NCHW") == "NHWC" else x

    def _ends_small(self) -> bool:
        stages: Any = getattr(self.body, "feature_info", None)
        return bool(stages) and min(self.input_size) / stages[-1]["reduction"] < SMALL_MAP

    def _try(self) -> tuple[int, ...]:
        """The last map's (C, h, w); layers that it does not pass through are taken out."""
        self.body.eval()
        parameters = dict(self.body.named_parameters())
        with torch.enable_grad():
            last = self._map(torch.zeros(1, 3, *self.input_size))
            gradients = torch.autograd.grad(last.sum(), list(parameters.values()), allow_unused=True)
        unused = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None}
        for name, module in list(self.body.named_modules()):
            own = {f"{name}.{key}" for key, _ in module.named_parameters()}
            if own and own <= unused:
                parent, _, child = name.rpartition(".")
                setattr(self.body.get_submodule(parent), child, nn.Identity())
                unused -= own
        self.body.train()
        return tuple(last.shape[1:])


def _halve(body: nn.Module, first: str | tuple[str, ...] | None) -> bool:
    """Halve the stride of the first convolution (of both branches where the network starts with two)."""
    names = (first,) if isinstance(first, str) else first or ()
    convolutions = [body.get_submodule(name) for name in names]
    strided = [c for c in convolutions if isinstance(c, nn.Conv2d) and max(c.stride) > 1]
    for convolution in strided:
        convolution.stride = (max(1, convolution.stride[0] // 2), max(1, convolution.stride[1] // 2))
    return bool(strided)
