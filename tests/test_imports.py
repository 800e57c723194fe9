"""Importing the package loads none of the optional dependencies."""

import subprocess
import sys

OPTIONAL = {"timm", "torchvision", "faiss", "matplotlib", "optuna", "record_keeper", "umap"}
MODULES = [
    "pml_hyperbolic.functional",
    "pml_hyperbolic.distances",
    "pml_hyperbolic.losses",
    "pml_hyperbolic.regularizers",
    "pml_hyperbolic.heads",
    "pml_hyperbolic.utils.retrieval",
    "pml_hyperbolic.utils.accuracy_calculator",
    "pml_hyperbolic.distributed.distributed_loss",
    "pml_hyperbolic.analysis",
    "pml_hyperbolic.testers",
    "pml_hyperbolic.trainers",
    "pml_hyperbolic.embedder",
    "pml_hyperbolic.embedder.commands",
]

# PML itself imports faiss and record_keeper where they are installed. So every optional package
# is made to look absent, and an attempt counts when the nearest of the two packages asks.
PROGRAM = """
import importlib, sys, warnings
warnings.simplefilter("ignore")  # third parties' own warnings are not what is tested here

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {optional!r}:
            return None
        frame, asking = sys._getframe(1), ""
        while frame and asking not in ("pml_hyperbolic", "pytorch_metric_learning"):
            asking = frame.f_globals.get("__name__", "").split(".")[0]
            frame = frame.f_back
        if asking == "pml_hyperbolic":
            print("asked for", name)
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for module in {modules!r}:
    importlib.import_module(module)
"""


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_loads_no_optional_dependency():
    loaded = run("import sys, pml_hyperbolic; print(*{m.split('.')[0] for m in sys.modules})")
    assert "pml_hyperbolic" in loaded.split()
    assert not OPTIONAL & set(loaded.split())


def test_no_module_asks_for_an_optional_dependency():
    assert run(PROGRAM.format(modules=MODULES, optional=OPTIONAL)) == ""


def test_the_check_notices_who_asks(tmp_path):
    (tmp_path / "pml_hyperbolic_stand_in.py").write_text(
        "__name__ = 'pml_hyperbolic.stand_in'\n"
        "try:\n    import timm\nexcept ImportError:\n    pass\n"
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + PROGRAM.format(
        modules=["pml_hyperbolic_stand_in"], optional=OPTIONAL
    )
    assert run(program) == "asked for timm\n"
