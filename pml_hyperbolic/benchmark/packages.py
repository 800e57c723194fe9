"""The packages that this project uses. A test compares them with pyproject.toml."""

import importlib.metadata

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
    "pml_hyperbolic",
    "torch",
    "numpy",
    "pytorch-metric-learning",
    "geoopt",
    *FAISS_PACKAGES,
    *BENCHMARK_PACKAGES,
)


def package_versions() -> dict[str, str]:
    """Return the installed version of each of ``PACKAGES``, without the absent ones."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def package_of_module(module: str) -> str | None:
    """Return the package of the extra `benchmark` that provides a module, None if none does.

    Args:
        module: its full name, such as "yaml.reader".
    """
    top = module.partition(".")[0]
    return next((name for name, provided in BENCHMARK_PACKAGES.items() if provided == top), None)
