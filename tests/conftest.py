"""Fixtures shared by all tests: recorded values, data paths, reproducible randomness."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("PML_HYPERBOLIC_SHARED", REPOSITORY.parent / "shared"))
SMALL_GOLDEN_CASE = Path(__file__).parent / "golden" / "hier_reference_small.npz"
GOLDEN_CASES = (0, 1, 2)
pytest_plugins = ["tests.image_fixtures"]
ACCURACY = pytest.StashKey[dict]()

# torch gives some warnings once a process: that would make failures depend on the tests' order.
torch.set_warn_always(True)

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("repeatable")


def shared_path(*parts):
    """A path under the shared folder; the test skips where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent: set PML_HYPERBOLIC_SHARED to the folder that holds it")
    return path


def recorded_case(path, prefix=""):
    """One recorded case as a dict of float64 and long tensors, single numbers as floats."""
    case = {}
    with np.load(path) as archive:
        for key in archive.files:
            if key.startswith(prefix):
                array = archive[key]
                dtype = float if np.issubdtype(array.dtype, np.floating) else int
                case[key.removeprefix(prefix)] = (
                    float(array) if array.ndim == 0 else torch.from_numpy(array.astype(dtype))
                )
    return case


@pytest.fixture(scope="session", params=["small", *GOLDEN_CASES], ids=lambda name: f"case-{name}")
def golden(request):
    """A case recorded from the HIER authors' implementation; the small one is always there."""
    if request.param == "small":
        return recorded_case(SMALL_GOLDEN_CASE)
    path = shared_path("golden", "hier_reference.npz")
    return recorded_case(path, f"case{request.param}/")


@pytest.fixture(scope="session")
def hier_cars():
    """The folder of embeddings published by HIER's authors."""
    return shared_path("data", "hier_cars")


@pytest.fixture(scope="session")
def omniglot_root():
    """The folder of Omniglot's official archives."""
    return shared_path("data", "omniglot")


@pytest.fixture(scope="session")
def grocery_zip():
    """The Grocery Store Dataset, its photos made small."""
    return shared_path("data", "grocery_96px.zip")


@pytest.fixture
def as_on_accelerators(monkeypatch):
    """Computations on the CPU take the ways that they take on an accelerator."""
    for name, module in list(sys.modules.items()):
        if name.startswith("pml_hyperbolic") and callable(getattr(module, "reading_waits", None)):
            monkeypatch.setattr(module, "reading_waits", lambda device: True)


@pytest.fixture(params=["cpu", "accelerator"])
def algorithm(request):
    """The test runs twice: with the computation of the CPU, and with that of accelerators."""
    if request.param == "accelerator":
        request.getfixturevalue("as_on_accelerators")
    return request.param


@pytest.fixture
def check_accuracy(request):
    """Assert that a relative error is within its bound, and put it into the table at the end."""
    table = request.config.stash.setdefault(ACCURACY, {})

    def check(row, error, bound):
        table[row] = max(table.get(row, (0.0, bound)), (error, bound))
        assert error <= bound

    return check


def pytest_terminal_summary(terminalreporter, config):
    """Tabulate the largest relative errors that were measured."""
    table = config.stash.get(ACCURACY, {})
    if table:
        terminalreporter.section("largest relative errors")
    for row, (error, bound) in sorted(table.items()):
        terminalreporter.write_line(f"{row:<60} {error:.1e}   bound {bound:.0e}")


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same global random state, whatever ran before it."""
    torch.manual_seed(0)
    # PML's samplers draw from numpy's global state.
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture(params=["set_float32_matmul_precision", "allow_tf32", "fp32_precision"])
def reduced_precision(request):
    """Products of float32 matrices may use fewer bits, by each of torch's names for that."""
    cuda, mkldnn = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)
    backends = [backend for backend in (cuda, mkldnn) if hasattr(backend, "fp32_precision")]
    if request.param == "set_float32_matmul_precision":
        torch.set_float32_matmul_precision("medium")
    elif request.param == "allow_tf32":
        cuda.allow_tf32 = True
    elif backends:
        cuda.fp32_precision, mkldnn.fp32_precision = "tf32", "bf16"
    else:
        pytest.skip("this torch has one setting for all backends")
    yield
    torch.set_float32_matmul_precision("highest")
    for backend in backends:
        backend.fp32_precision = "none"
