"""A search, as it is sent to worker processes."""

from dataclasses import dataclass
from pathlib import Path

from ...files import content_hash
from ..config import BenchmarkConfig, SearchRange


@dataclass(frozen=True)
class SearchJob:
    """A search, as it is sent to worker processes.

    Attributes:
        config: the benchmark.
        data: the fingerprint of its data.
        trials: the number of trials of each method.
        fold: the fold on which all trials train and validate.
        seeds: the seeds that each trial trains with; its score is the mean over them.
        storage: the URL of the database that all workers share.
        folder: the folder for logs and results.
        identity: of this call, which tells its workers' trials from those of others.
    """

    config: BenchmarkConfig
    data: str
    trials: int
    fold: int
    seeds: tuple[int, ...]
    storage: str
    folder: Path
    identity: str

    def study_name(self, method: str) -> str:
        """A method's study, which is another one for other settings, runs, spaces or protocols."""
        space = {path: allowed.model_dump() for path, allowed in self.space(method).items()}
        own = self.config.methods[method].hash
        about = content_hash([own, space, self.fold, self.seeds])
        return f"{self.study_prefix(method)}{about}"

    def space(self, method: str) -> dict[str, SearchRange]:
        """What is searched of a method: its own settings, and the tuned rates of the protocol."""
        return self.config.search_space(method)

    def study_prefix(self, method: str) -> str:
        """The common start of the names of a method's studies on this protocol and data."""
        return f"{self.config.name}/{method}/{self.config.protocol.hash}-{self.data}/"
