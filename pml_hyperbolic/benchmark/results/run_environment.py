"""RunEnvironment: what reports read of a run's environment.json."""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ...checked_files import read_checked_json
from ...errors import message_of

_LOG = logging.getLogger(__name__)


class RunEnvironment(BaseModel):
    """The machine and the packages that a run used; None where that is unknown.

    Attributes:
        packages: name -> version.
        begun_with: likewise, of a run that was resumed with other packages than it began with.
        git_commit: that the code was checked out at.
        device: "cpu" or "cuda:0", for example.
        device_name: of a CUDA device.
        processes: that trained together.
        command: that made the run.
        peak_memory: the most memory that the run had in use, in MiB; on a CPU that of its process,
            on a GPU that of torch's tensors.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    packages: dict[str, str] | None = None
    begun_with: dict[str, str] | None = None
    git_commit: str | None = None
    device: str | None = None
    device_name: str | None = None
    processes: int = 1
    command: str | None = None
    peak_memory: float | None = None

    @classmethod
    def read(cls, file: Path) -> "RunEnvironment":
        """Read a file; nothing is known where it is missing or malformed."""
        try:
            return cls.model_validate(read_checked_json(file))
        except FileNotFoundError:
            return cls()
        except (ValueError, RecursionError) as error:
            _LOG.warning("%s is damaged, so the packages are not known: %s", file, _line(error))
            return cls()

    @property
    def machine(self) -> str | None:
        """The machine in words, None if it is unknown."""
        device = self.device_name or self.device
        if device is None or self.processes == 1:
            return device
        return f"{device} in {self.processes} processes"


def _line(error):
    return message_of(error, 200)
