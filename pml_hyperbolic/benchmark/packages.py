"""The packages that this project uses. A test compares them with pyproject.toml."""

import importlib.metadata
from collections.abc import Iterable, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .. import __version__

PROJECT = "pml_hyperbolic"
# What the extra `benchmark` installs: name of the package -> the module that it provides.
BENCHMARK_PACKAGES = {
    "timm": "timm",
    "torchvision": "torchvision",
    "record-keeper": "record_keeper",
    "tensorboard": "tensorboard",
    "pyyaml": "yaml",
    "scipy": "scipy",
    "pydantic": "pydantic",
    "tqdm": "tqdm",
    "filelock": "filelock",
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "matplotlib": "matplotlib",
    "optuna": "optuna",
    "jinja2": "jinja2",
}
# Both provide the module faiss: at most one of them may be installed.
FAISS_PACKAGES = ("faiss-cpu", "faiss-gpu")
PACKAGES = (
    PROJECT,
    "torch",
    "numpy",
    "pytorch-metric-learning",
    "geoopt",
    "packaging",
    *FAISS_PACKAGES,
    *BENCHMARK_PACKAGES,
)


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the installed version of each package, without the absent ones.

    Args:
        names: of the packages. Default: ``PACKAGES``. The version of this project is that of its
            code, which an installation of a checkout may describe wrongly.
    """
    versions = {}
    for name in names:
        try:
            versions[name] = __version__ if name == PROJECT else importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def requirements(package: str, extra: str = "") -> list[Requirement]:
    """Return what a package requires here as its metadata say, nothing if it is not installed.

    Args:
        package: its name.
        extra: return what this extra adds. Default: what is required without any.
    """
    try:
        found = [Requirement(text) for text in importlib.metadata.requires(package) or []]
    except importlib.metadata.PackageNotFoundError:
        return []
    return [one for one in found if _applies(one, extra) and not (extra and _applies(one, ""))]


def unfit(
    package: str, installed: Mapping[str, str], extra: str = ""
) -> list[tuple[Requirement, str]]:
    """Return the requirements of a package that installed versions do not meet, with these.

    Args:
        package: as for ``requirements``.
        installed: name -> version. Requirements of other packages are left out.
        extra: as for ``requirements``.
    """
    versions = {canonicalize_name(name): version for name, version in installed.items()}
    known = [
        (one, versions[name])
        for one in requirements(package, extra)
        if (name := canonicalize_name(one.name)) in versions
    ]
    return [(one, v) for one, v in known if not one.specifier.contains(v, prereleases=True)]


def package_of_module(module: str) -> str | None:
    """Return the package of the extra `benchmark` that provides a module, None if none does.

    Args:
        module: its full name, such as "yaml.reader".
    """
    top = module.partition(".")[0]
    return next((name for name, provided in BENCHMARK_PACKAGES.items() if provided == top), None)


def _applies(requirement, extra):
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
