"""The command line with a backbone without batch norm, to be started by torchrun."""

import os
import sys
import warnings

import torch

from pml_hyperbolic.backbones import BACKBONES
from pml_hyperbolic.benchmark.cli import main
from tests.processes import DEPRECATED_BY_GEOOPT


class NormFree(torch.nn.Sequential):
    """A backbone in double precision, which hides the order of sums."""

    mean = std = 0.5
    out_features = 12

    def __init__(self, in_channels: int):
        super().__init__(
            torch.nn.Conv2d(in_channels, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 12)
        )
        self.double()
        self.step = 0

    def forward(self, images):
        # FAIL holds the rank and the step, from 1, at which a test wants an error.
        self.step += self.training
        if os.environ.get("FAIL") == f"{os.environ.get('RANK')} {self.step}":
            raise OSError("no such luck")
        return super().forward(images.double()).float()


BACKBONES["norm_free"] = NormFree

if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", DEPRECATED_BY_GEOOPT)
    sys.exit(main())
