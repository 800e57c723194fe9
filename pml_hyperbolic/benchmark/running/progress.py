"""Progress: a bar over the epochs of all runs, with the number of finished runs beside it."""

import os

from ..config import BenchmarkConfig


class Progress:
    """A context manager that shows a progress bar on stderr.

    Args:
        config: of the benchmark.
        runs: how many runs are left to do.
        show: False shows nothing.
    """

    def __init__(self, config: BenchmarkConfig, runs: int, show: bool):
        from tqdm import tqdm

        self._name, self._runs = config.name, runs
        self._done, self._failed = 0, 0
        self._epochs = len(config.protocol.evaluation.scored_epochs(config.protocol.epochs))
        self._bar = tqdm(
            total=runs * self._epochs,
            desc=f"{self._name}: 0/{runs} runs",
            unit="epoch",
            disable=not show or not runs,
            # A log file should stay short; a terminal may be updated often.
            mininterval=0.1 if os.isatty(2) else 10,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()

    def epoch_done(self) -> None:
        """Count one scored epoch."""
        self._bar.update()

    def run_done(self, failed: bool) -> None:
        """Count one run."""
        self._done += 1
        self._failed += failed
        # The epochs of a resumed run that were trained earlier have not been counted.
        self._bar.n = max(self._bar.n, (self._done - self._failed) * self._epochs)
        failures = f", {self._failed} failed" if self._failed else ""
        self._bar.set_description(
            f"{self._name}: {self._done}/{self._runs} runs{failures}", refresh=False
        )
