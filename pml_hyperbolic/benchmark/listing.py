"""The text of ``pml-hyperbolic list``: everything that a config can name."""

from pathlib import Path

from ..backbones import BACKBONES
from ..errors import InputError
from ..escaping import printable
from .assembly.registry import REGISTRY
from .config import METHOD_FOLDER, TUNED_FOLDER, read_benchmark, read_method
from .config.sweep import SWEEP, variants
from .datasets import DATASETS


def list_everything(folder: Path) -> str:
    """Registered names, and the benchmarks, methods and tuned values in a folder."""
    benchmarks = [
        file
        for file in sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
        if not {METHOD_FOLDER, TUNED_FOLDER} & set(file.relative_to(folder).parts)
    ]
    homes = sorted({folder / METHOD_FOLDER, *folder.rglob(METHOD_FOLDER)})
    # Tuned values used to lie in methods/.
    places = [*homes, *sorted(folder.rglob(TUNED_FOLDER))]
    tuned = [child for place in places for child in sorted(place.glob("*")) if child.is_dir()]
    sections = {
        f"benchmarks in {folder}": _lines(benchmarks, folder, _about_benchmark),
        **{f"methods in {home}": _methods(home) for home in homes},
        **{f"methods tuned for {child.name} in {child}": _methods(child) for child in tuned},
        "data sets": sorted(DATASETS),
        "backbones": sorted(BACKBONES),
        "losses": sorted(REGISTRY["loss"]),
        "regularizers": sorted(REGISTRY["regularizer"]),
        "distances": sorted(REGISTRY["distance"]),
        "miners": sorted(REGISTRY["miner"]),
        "reducers": sorted(REGISTRY["reducer"]),
    }
    lines = []
    for title, names in sections.items():
        lines += [f"{title}:", *(f"  {name}" for name in names or ["(none)"])]
    return "\n".join(map(printable, lines))


def _methods(folder):
    return _lines(sorted(folder.glob("*.yaml")), folder, _about_method)


def _lines(files, folder, describe):
    """One line for each YAML file; a file that cannot be read does not hide the others."""
    lines = []
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        try:
            lines.append(f"{name}: {describe(file)}".removesuffix(": "))
        except InputError as error:
            lines.append(f"{name}: cannot be used: {error}")
    return lines


def _about_benchmark(file):
    content, _ = read_benchmark(file)
    methods = ", ".join(map(str, content.get("methods") or []))
    sweep = content.get(SWEEP)
    if sweep is None:
        return methods
    name = content.get("name")
    names = ", ".join(f"{name}{variant.suffix}" for variant in variants(sweep, file))
    return f"{methods} (sweep: {names})"


def _about_method(file):
    return str(read_method(file).get("about", "")).strip().split("\n")[0]
