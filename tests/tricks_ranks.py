"""What torchrun starts in test_tricks: every rank prints its share of mixed images and the statistics it ends with."""

from __future__ import annotations

import copy
import json
import sys

import torch
from torch import nn

from facezoo import distributed
from facezoo.modes.mixing import mix
from facezoo.optim.average import norm_statistics


def main() -> None:
    torch.set_num_threads(1)
    with distributed.process_group("cpu"):
        torch.manual_seed(distributed.rank())
        images = torch.randn(4, 3, 8, 8)
        shares = [mix(images, *alphas).share for alphas in ((0.5, 0), (0, 1.0), (0.5, 1.0))]
        norm = nn.Sequential(nn.BatchNorm2d(3))
        found = norm_statistics(copy.deepcopy(norm), norm, [images])
        means = distributed.gather_objects((shares, images.mean((0, 2, 3)).tolist(), found["0.running_mean"].tolist()))
        if distributed.is_first():
            sys.stdout.write(json.dumps(means))


if __name__ == "__main__":
    main()
