"""Where configs lie: the folders of methods, and the configs that are shipped with the package."""

import re
import stat
from pathlib import Path

from ...errors import InputError, similar
from ...files import disk_failure
from .strict_model import NAME_PATTERN

METHOD_FOLDER = "methods"
TUNED_FOLDER = "tuned"
# In an installed package they lie within it, in a checkout at its top.
_INSTALLED = Path(__file__).parents[1] / "shipped_configs"
_CHECKED_OUT = Path(__file__).parents[3] / "benchmark_configs"
_SUFFIX = ".yaml"


def shipped_folder() -> Path:
    """The folder of the configs that are shipped with the package.

    Raises:
        InputError: the installation lacks it.
    """
    for folder in (_INSTALLED, _CHECKED_OUT):
        if folder.is_dir():
            return folder
    raise InputError(
        f"the shipped configs are missing, expected {_INSTALLED}: "
        f"pip install --force-reinstall --no-deps pml-hyperbolic"
    )


def benchmark_files(folder: Path) -> dict[str, Path]:
    """The benchmarks in a folder and below it, those nearest to the top first, as name -> file.

    A name is the path within the folder without its suffix, such as ``paper/hier_cub200``.
    """
    files = sorted(folder.rglob(f"*{_SUFFIX}"), key=lambda file: (len(file.parts), file))
    names = {file: file.relative_to(folder).with_suffix("") for file in files}
    return {
        name.as_posix(): file
        for file, name in names.items()
        if not {METHOD_FOLDER, TUNED_FOLDER} & set(name.parts)
    }


def find_config(given: str | Path, folder: Path = Path()) -> Path:
    """The file of a config that is given as a file or by the name of a shipped one.

    A file that exists comes first.

    Args:
        given: a file, or a name within the shipped folder, such as ``digits`` or
            ``methods/chest``.
        folder: that the file is relative to. Default: the current one.

    Raises:
        InputError: there is neither; the message names shipped configs of similar names.
        OSError: the disk failed to look it up.
    """
    file, name = folder / given, Path(given).as_posix()
    try:
        if not stat.S_ISDIR(file.stat().st_mode):
            return file
        problem = "it is a folder"
    except OSError as error:
        if disk_failure(error, file) is not None:
            raise
        problem = error.strerror or str(error)
    # A null character.
    except ValueError as error:
        problem = str(error)
    shipped = shipped_folder()
    if re.fullmatch(rf"{NAME_PATTERN}(/{NAME_PATTERN})*", name):
        found = shipped / f"{name}{_SUFFIX}"
        if found.is_file():
            return found
    raise InputError(f"cannot read {file}: {problem}{_advice(name, benchmark_files(shipped))}")


def _advice(name, shipped):
    meant = name.removeprefix(f"{_CHECKED_OUT.name}/").removesuffix(_SUFFIX)
    if meant in shipped:
        return f": the shipped config is called {meant!r}"
    close = similar(meant, sorted(shipped))
    if close is not None:
        return f": did you mean {close!r}?"
    # There are too many to name them all.
    return ": give a YAML file, or a name that `pml-hyperbolic list` shows, such as digits"
