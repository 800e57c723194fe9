"""What can be named in a config: the text of ``pml-hyperbolic list``."""

from pathlib import Path

from .backbones import BACKBONES
from .config import METHOD_FOLDER
from .datasets import DATASETS
from .registry import REGISTRY
from .yaml_files import read_mapping


def list_everything(folder: Path) -> str:
    """Registered names, and the configs and methods in a folder."""
    sections = {
        f"benchmarks in {folder}": [
            f"{file.name}: {', '.join(map(str, read_mapping(file).get('methods') or []))}"
            for file in sorted(folder.glob("*.yaml"))
        ],
        f"methods in {folder / METHOD_FOLDER}": [
            _first_line(file) for file in sorted((folder / METHOD_FOLDER).glob("*.yaml"))
        ],
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


def _first_line(file):
    about = str(read_mapping(file).get("about", "")).strip().split("\n")[0]
    return f"{file.stem}: {about}" if about else file.stem
