"""The command line with a backbone without batch norm, to be started by torchrun."""

import os
import sys
import time
import warnings
from pathlib import Path

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
        # FAIL holds the rank and the step, from 1, at which a test wants an error; at that of
        # SLEEP a rank stops, and both ranks tell the number of their process.
        self.step += self.training
        rank, now = os.environ.get("RANK"), f"{os.environ.get('RANK')} {self.step}"
        if os.environ.get("FAIL") == now:
            raise OSError("no such luck")
        if os.environ.get("SLEEP", "").endswith(f" {self.step}"):
            part = Path(os.environ["PROCESSES"], f"part{rank}")
            part.write_text(str(os.getpid()))
            part.rename(part.with_name(f"rank{rank}"))
            if os.environ["SLEEP"] == now:
                time.sleep(1e6)
        return super().forward(images.double()).float()


BACKBONES["norm_free"] = NormFree

if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", DEPRECATED_BY_GEOOPT)
    sys.exit(main())
