"""The layout of the package: imports point one way, and files and rooms stay small.

A room is a folder of the package or, where a module lies loose, that module.
"""

import ast
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pml_hyperbolic"

# A room may import rooms on earlier lines only. The order says who builds on whom, not who does:
# images, for example, use nothing of losses.
LAYERS = (
    ("pml_hyperbolic", "errors", "_pml"),
    ("files", "unpacked_size", "argument_types", "escaping"),
    ("checked_files", "array_files", "file_kinds"),
    ("functional",),
    ("distances",),
    ("regularizers", "heads"),
    ("losses",),
    ("utils",),
    ("distributed",),
    ("trainers", "testers"),
    ("images", "backbones", "analysis"),
    ("embedder", "visualize"),
    ("benchmark", "benchmark.packages", "benchmark.results"),
    ("benchmark.config",),
    ("benchmark.datasets",),
    ("benchmark.assembly",),
    ("benchmark.checking",),
    ("benchmark.environment",),
    ("benchmark.measuring",),
    ("benchmark.running",),
    ("benchmark.tuning",),
    ("benchmark.reporting",),
    ("benchmark.plotting",),
    ("benchmark.page",),
    ("benchmark.listing", "benchmark.doctor"),
    ("benchmark.cli",),
    ("benchmark.__main__",),
)
# (importing module, imported module) -> why the import may point upward.
EXCEPTIONS = {
    ("pml_hyperbolic.utils", "pml_hyperbolic.distributed"): (
        "DistributedLoss moved to distributed, and its old import path keeps working: the import "
        "happens only when utils is asked for that name"
    ),
}
# What both generations of pytorch-metric-learning have; everything else of it goes through _pml.
PUBLIC_IN_PML = {"distances", "losses", "miners", "reducers", "regularizers"}
LARGEST_FILE = 450
LARGEST_ROOM = 16
LARGEST_BENCHMARK = 8


class Import(NamedTuple):
    """One import statement, whether it stands at the top, in a function or under TYPE_CHECKING."""

    module: str
    imported: str
    place: str


def modules_of(package):
    """Dotted name -> file, for every module of a package."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(package):
    """Every import of one module of the package by another, lazy ones included."""
    modules = modules_of(package)
    found = []
    for module, file in modules.items():
        around = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            place = f"{file.relative_to(package.parent)}:{getattr(node, 'lineno', 0)}"
            for name in names_imported(node, around):
                # "from .room import name" imports the module room.name if there is one.
                while name and name not in modules:
                    name = name.rpartition(".")[0]
                if name:
                    found.append(Import(module, name, place))
    return found


def names_imported(node, around):
    """Dotted names that a statement imports, seen from the package ``around`` it."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = around.split(".")[: len(around.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*base, *filter(None, [node.module])])
        return [f"{base}.{alias.name}" for alias in node.names]
    function = getattr(node, "func", None)
    called = getattr(function, "attr", getattr(function, "id", None))
    if called in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
        return [node.args[0].value]
    return []


def room_of(module):
    """The room that a module lies in."""
    package, *parts = module.split(".")
    if not parts:
        return package
    return ".".join(parts[: 2 if parts[0] == "benchmark" else 1])


def upward(imports, layers, exceptions):
    """The imports that do not point to an earlier layer, one line each."""
    level = {room: number for number, rooms in enumerate(layers) for room in rooms}
    return [
        f"{found.place}: {found.module} imports {found.imported}"
        for found in imports
        if room_of(found.module) != room_of(found.imported)
        and level[room_of(found.imported)] >= level[room_of(found.module)]
        and (found.module, found.imported) not in exceptions
    ]


def circle(pairs):
    """A circle of (importing, imported) pairs as a list of names, or None."""
    imported = defaultdict(set)
    for importing, name in pairs:
        imported[importing].add(name)
    done = set()

    def visit(name, path):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for following in sorted(imported[name]):
            found = visit(following, [*path, name])
            if found:
                return found
        done.add(name)
        return None

    return next(filter(None, (visit(name, []) for name in sorted(imported))), None)


def allowed(imports):
    return [i for i in imports if (i.module, i.imported) not in EXCEPTIONS]


def test_every_room_has_its_place():
    rooms = {room_of(module) for module in modules_of(PACKAGE)}
    placed = [room for rooms_of_layer in LAYERS for room in rooms_of_layer]
    assert len(set(placed)) == len(placed)
    assert rooms <= set(placed), "give new rooms their place in LAYERS"


def test_nothing_imports_upward():
    assert upward(imports_of(PACKAGE), LAYERS, EXCEPTIONS) == []


def test_data_sets_take_plain_values_and_know_no_config():
    """Configs lie below data sets, which configs name, but a data set serves without one too."""
    by_data_sets = [i for i in imports_of(PACKAGE) if room_of(i.module) == "benchmark.datasets"]
    rooms = {room_of(i.imported) for i in by_data_sets}
    assert "errors" in rooms
    assert "benchmark.config" not in rooms


def test_every_exception_is_needed():
    found = {(i.module, i.imported) for i in imports_of(PACKAGE)}
    assert set(EXCEPTIONS) <= found


def test_modules_import_each_other_in_no_circle():
    assert circle((i.module, i.imported) for i in allowed(imports_of(PACKAGE))) is None


def test_rooms_import_each_other_in_no_circle():
    rooms = [(room_of(i.module), room_of(i.imported)) for i in allowed(imports_of(PACKAGE))]
    assert circle((one, other) for one, other in rooms if one != other) is None


def imports_beyond_the_public(package):
    """Places and names of what modules of a package import of PML outside PUBLIC_IN_PML."""
    found = []
    for module, file in modules_of(package).items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in names_imported(node, module):
                top, *parts = name.split(".")
                # A name in a submodule has more parts: submodules are private in PML 3.
                public = len(parts) in (1, 2) and parts[0] in PUBLIC_IN_PML
                if top == "pytorch_metric_learning" and not public:
                    found.append((module, name))
    return found


def test_only_one_file_knows_pml_beyond_its_public_modules():
    assert {module for module, _ in imports_beyond_the_public(PACKAGE)} <= {"pml_hyperbolic._pml"}


def test_private_modules_of_pml_are_noticed(tmp_path):
    allowed = "from pytorch_metric_learning import losses\n"
    allowed += "from pytorch_metric_learning.distances import BaseDistance\n"
    refused = {
        "a": "from pytorch_metric_learning import trainers\n",
        "b": "from pytorch_metric_learning.utils import common_functions\n",
        "c": "def f():\n    import pytorch_metric_learning.losses.margin_loss.MarginLoss\n",
        "d": "import importlib\nimportlib.import_module('pytorch_metric_learning.samplers')\n",
        "e": "import pytorch_metric_learning\n",
    }
    for name, text in {"allowed": allowed, **refused}.items():
        (tmp_path / f"{name}.py").write_text(text)
    found = imports_beyond_the_public(tmp_path)
    assert [module.rpartition(".")[2] for module, _ in found] == list(refused)


def test_no_file_is_too_long():
    lines = {
        str(file.relative_to(PACKAGE)): len(file.read_text(encoding="utf-8").splitlines())
        for file in PACKAGE.rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > LARGEST_FILE} == {}


def test_no_room_is_too_full():
    folders = [PACKAGE, *(folder for folder in PACKAGE.rglob("*") if folder.is_dir())]
    loose = {
        str(folder.relative_to(PACKAGE.parent)): sum(
            file.name != "__init__.py" for file in folder.glob("*.py")
        )
        for folder in folders
    }
    assert {name: count for name, count in loose.items() if count > LARGEST_ROOM} == {}
    assert loose["pml_hyperbolic/benchmark"] <= LARGEST_BENCHMARK


@pytest.fixture
def small_package(tmp_path):
    """Two rooms that import each other in every way a module can."""
    files = {
        "__init__.py": "",
        "low/__init__.py": "",
        "low/a.py": "import typing\nif typing.TYPE_CHECKING:\n    from ..high import b\n",
        "low/c.py": "def f():\n    import package.high.b\n",
        "low/d.py": "import importlib\nimportlib.import_module('package.high')\n",
        "low/e.py": "from . import a\nimport os.path\n",
        "high/__init__.py": "from .b import name\n",
        "high/b.py": "from ..low.a import name\n",
    }
    for name, text in files.items():
        file = tmp_path / "package" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "package"


def test_the_walk_sees_every_kind_of_import(small_package):
    found = imports_of(small_package)
    assert {(i.module.removeprefix("package."), i.imported) for i in found} == {
        ("low.a", "package.high.b"),
        ("low.c", "package.high.b"),
        ("low.d", "package.high"),
        ("low.e", "package.low.a"),
        ("high", "package.high.b"),
        ("high.b", "package.low.a"),
    }
    layers = (("package",), ("low",), ("high",))
    lines = upward(found, layers, {("package.low.d", "package.high"): "reason"})
    assert lines == [
        "package/low/a.py:3: package.low.a imports package.high.b",
        "package/low/c.py:2: package.low.c imports package.high.b",
    ]
    assert circle((i.module, i.imported) for i in found) == [
        "package.high.b",
        "package.low.a",
        "package.high.b",
    ]
    assert circle([("a", "b"), ("b", "c"), ("a", "c")]) is None
