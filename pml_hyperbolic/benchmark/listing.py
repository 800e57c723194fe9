"""What can be named in a config: the text of ``pml-hyperbolic list``."""

from pathlib import Path

from ..backbones import BACKBONES
from ..errors import InputError
from .assembly.registry import REGISTRY
from .config import METHOD_FOLDER, read_benchmark
from .config.yaml_files import read_mapping
from .datasets import DATASETS


def list_everything(folder: Path) -> str:
    """Registered names, and the configs and methods in a folder."""
    benchmarks = [
        file
        for file in sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
        if METHOD_FOLDER not in file.relative_to(folder).parts
    ]
    homes = sorted({folder / METHOD_FOLDER, *folder.rglob(METHOD_FOLDER)})
    sections = {
        f"benchmarks in {folder}": _lines(benchmarks, folder, _method_names),
        **{f"methods in {home}": _methods(home) for home in homes},
        **{
            f"methods tuned for {tuned.name} in {tuned}": _methods(tuned)
            for home in homes
            for tuned in sorted(home.glob("*/"))
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


def _methods(folder):
    return _lines(sorted(folder.glob("*.yaml")), folder, lambda file: _about(read_mapping(file)))


def _lines(files, folder, describe):
    """One line a YAML file; one that cannot be read does not hide the others."""
    lines = []
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        try:
            lines.append(f"{name}: {describe(file)}".removesuffix(": "))
        except InputError as error:
            lines.append(f"{name}: cannot be used: {error}")
    return lines


def _method_names(file):
    content, _ = read_benchmark(file)
    return ", ".join(map(str, content.get("methods") or []))


def _about(content):
    return str(content.get("about", "")).strip().split("\n")[0]
