"""High-resolution networks with the output of FaceX-Zoo; https://arxiv.org/abs/1908.07919."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from facezoo.backbones.adapted import timm_body
from facezoo.backbones.layers import Size, check_options, halved, height_width, through
from facezoo.registry import BACKBONES


class HRNet(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    Maps of a half, a quarter, an eighth and a sixteenth of the crop side by side: the second convolution keeps its
    map, in contrast to the paper's.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self, model: str, /, embedding_dim: int = 512, input_size: Size = 112, checkpointing: bool = False
    ) -> None:
        super().__init__()
        check_options("hrnet", embedding_dim)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        body = timm_body(model)
        body.conv2.stride = (1, 1)
        self.stem = nn.Sequential(body.conv1, body.bn1, body.act1, body.conv2, body.bn2, body.act2)
        self.first = body.layer1
        self.transitions = nn.ModuleList((body.transition1, body.transition2, body.transition3))
        self.stages = nn.ModuleList((body.stage2, body.stage3, body.stage4))
        self.incre, self.down, self.last = body.incre_modules, body.downsamp_modules, body.final_layer
        for module in self.stages.modules():
            for branch, fuse in enumerate(getattr(module, "fuse_layers", ())):
                self._fit(fuse, halved(self.input_size, 1 + branch))
        height, width = halved(self.input_size, 4)
        self.output = nn.Sequential(
            nn.Flatten(),
            nn.Linear(body.num_features * height * width, embedding_dim, bias=False),
            nn.BatchNorm1d(embedding_dim),
        )

    @staticmethod
    def _fit(fuse: nn.Module, size: tuple[int, int]) -> None:
        """Enlarge maps to the size of the one they are added to: twice a map that was rounded up would be too large."""
        for parts in fuse.children():
            if isinstance(parts, nn.Sequential) and isinstance(parts[-1], nn.Upsample):
                parts[-1] = nn.Upsample(size=size, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        maps = [through(self.first, self.stem(x), self.checkpointing)]
        for transition, stage in zip(self.transitions, self.stages, strict=True):
            maps = self._branch(transition, maps)
            for module in stage.children():
                maps = self._exchange(module, maps)
        x = self.incre[0](maps[0])
        for down, incre, branch in zip(self.down, self.incre[1:], maps[1:], strict=True):
            x = incre(branch) + down(x)
        return self.output(self.last(x))

    @staticmethod
    def _branch(transition: Any, maps: list[Tensor]) -> list[Tensor]:
        """The next stage's maps: those there are, and a new one of the smallest."""
        new = len(transition) - len(maps)
        sources = maps + maps[-1:] * new
        return [change(x) for change, x in zip(transition, sources, strict=True)]

    def _exchange(self, module: Any, maps: list[Tensor]) -> list[Tensor]:
        """Each map through its blocks, then the sum of all in each one's size."""
        maps = [through(branch, x, self.checkpointing) for branch, x in zip(module.branches, maps, strict=True)]
        sums = []
        for fuse in module.fuse_layers:
            terms = [layer(x) for layer, x in zip(fuse, maps, strict=True)]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            sums.append(module.fuse_act(total))
        return sums


@BACKBONES.register
def hrnet_w18(**options) -> HRNet:
    return HRNet("hrnet_w18", **options)


@BACKBONES.register
def hrnet_w30(**options) -> HRNet:
    return HRNet("hrnet_w30", **options)


@BACKBONES.register
def hrnet_w32(**options) -> HRNet:
    return HRNet("hrnet_w32", **options)


@BACKBONES.register
def hrnet_w40(**options) -> HRNet:
    return HRNet("hrnet_w40", **options)


@BACKBONES.register
def hrnet_w44(**options) -> HRNet:
    return HRNet("hrnet_w44", **options)


@BACKBONES.register
def hrnet_w48(**options) -> HRNet:
    return HRNet("hrnet_w48", **options)


@BACKBONES.register
def hrnet_w64(**options) -> HRNet:
    return HRNet("hrnet_w64", **options)
