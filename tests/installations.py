"""Environments that hold exactly what a wheel and some of its extras require.

Nothing is downloaded: the packages of the environment that the tests run in are linked into a new
one, those alone that the wheel requires, and those that these require in turn.
"""

import importlib.metadata
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def wheel_metadata(wheel: Path) -> Metadata:
    """The metadata of a wheel, checked against the specification."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Metadata.from_email(archive.read(name), validate=True)


class Installation:
    """A wheel, installed with some of its extras into an environment of its own.

    Args:
        folder: for the environment, and the folder that programs run in.
        wheel: the file.
        extras: to be installed with it.
    """

    def __init__(self, folder: Path, wheel: Path, extras: Iterable[str] = ()):
        self.folder = folder
        venv.EnvBuilder(symlinks=True).create(folder / "environment")
        self.programs = folder / "environment" / "bin"
        (self.packages,) = folder.glob("environment/lib/python*/site-packages")
        self.required = _closure(wheel_metadata(wheel).requires_dist or [], set(extras))
        for name in self.required:
            self._link(name)
        install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
        pip = [sys.executable, "-m", "pip", "--python", str(self.programs / "python"), *install]
        subprocess.run(pip, env=self._variables(), check=True, timeout=300)

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """Run one of its programs outside the repository."""
        program, *arguments = words
        return subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env=self._variables(),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def _variables(self):
        """No variable of the tests' own environment, such as PYTHONPATH, leads back to it."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return {**kept, "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}

    def _link(self, name):
        distribution = importlib.metadata.distribution(name)
        # Programs lie elsewhere, at paths that begin with "..".
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            link = self.packages / top
            if not link.exists():
                link.symlink_to(distribution.locate_file(top))


def _closure(texts, extras):
    """The names of all distributions that requirements need here, directly or not."""
    found, seen = set(), set()
    waiting = [(Requirement(text) if isinstance(text, str) else text, extras) for text in texts]
    while waiting:
        requirement, of = waiting.pop()
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": e}) for e in of or {""}):
            continue
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed here")
        found.add(name)
        for text in distribution.requires or []:
            waiting.append((Requirement(text), set(requirement.extras)))
    return found
