"""What can be named in a config: the text of ``pml-hyperbolic list``."""

from pathlib import Path

from .backbones import BACKBONES
from .config import METHOD_FOLDER
from .datasets import DATASETS
from .errors import InputError
from .registry import REGISTRY
from .yaml_files import read_mapping


def list_everything(folder: Path) -> str:
    """Registered names, and the configs and methods in a folder."""
    sections = {
        f"benchmarks in {folder}": _files(folder, _method_names),
        f"methods in {folder / METHOD_FOLDER}": _files(folder / METHOD_FOLDER, _about),
        **{
            f"methods tuned for {tuned.name} in {tuned}": _files(tuned, _about)
            for tuned in sorted((folder / METHOD_FOLDER).glob("*/"))
        },
        "data sets": sorted(DATASETS),
        "backbones": sorted(BACKBONES),
        "losses": sorted(REGISTRY["loss"]),
        "regularizers": sorted(REGISTRY["regularizer"]),
        "distances": sorted(REGISTRY["distance"]),
        "miners": sorted(REGISTRY["miner"]),
        "reducers": sorted(REGISTRY["reducer"]),
    }
    return "\n".join(
        "\n".join([f"{title}:", *(f"  {name}" for name in names or ["(none)"])])
        for title, names in sections.items()
    )


def _files(folder, describe):
    """One line a YAML file; one that cannot be read does not hide the others."""
    lines = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            lines.append(f"{file.stem}: {describe(read_mapping(file))}".removesuffix(": "))
        except InputError as error:
            lines.append(f"{file.stem}: cannot be used: {error}")
    return lines


def _method_names(content):
    return ", ".join(map(str, content.get("methods") or []))


def _about(content):
    return str(content.get("about", "")).strip().split("\n")[0]
