"""The command line with a backbone that has no batch norm, for torchrun."""

import os
import sys
import warnings

import torch

from pml_hyperbolic.backbones import BACKBONES
from pml_hyperbolic.benchmark.cli import main
from tests.processes import DEPRECATED_BY_GEOOPT


class NormFree(torch.nn.Sequential):
    """Double precision inside, so that the order of sums does not show."""

    mean = std = 0.5
    out_features = 12

    def __init__(self, in_channels: int):
        super().__init__(
            torch.nn.Conv2d(in_channels, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 12)
        )
        self.double()
        self.step = 0

    def forward(self, images):
        # FAIL is the rank and the step, from 1, that a test chose.
        self.step += self.training
        if os.environ.get("FAIL") == f"{os.environ.get('RANK')} {self.step}":
            raise OSError("no such luck")
        return super().forward(images.double()).float()


BACKBONES["norm_free"] = NormFree

if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", DEPRECATED_BY_GEOOPT, FutureWarning)
    sys.exit(main())
