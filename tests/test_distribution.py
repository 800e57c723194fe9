"""The wheel and the sdist: what they hold, and what they need where nothing else is installed."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import pml_hyperbolic

from .installations import Installation, wheel_metadata

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = "pml_hyperbolic/benchmark/shipped_configs"


def build(folder, kind, target):
    """Build the wheel or the sdist of a folder with its build backend, without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", target]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The folder that the sdist unpacks to."""
    archive = build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


def contents(wheel):
    """Name -> bytes of all files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_in(folder):
    """Relative path -> file, without what Python and its tools keep there."""
    return {
        file.relative_to(folder).as_posix(): file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.strip("_").endswith("cache") for part in file.parts)
    }


def test_the_wheel_holds_the_package_with_its_configs_and_nothing_else(wheel):
    held = contents(wheel)
    expected = {
        **{f"pml_hyperbolic/{name}": f for name, f in files_in(ROOT / "pml_hyperbolic").items()},
        **{f"{CONFIGS}/{name}": f for name, f in files_in(ROOT / "benchmark_configs").items()},
    }
    described = {name for name in held if ".dist-info/" in name}
    assert held.keys() - described == expected.keys()
    assert all(held[name] == file.read_bytes() for name, file in expected.items())
    assert {Path(name).name for name in described} == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE")
    }
    assert {Path(name).suffix for name in expected} <= {".py", ".yaml", ".j2", ".typed"}
    assert sum(map(len, held.values())) < 3 * 2**20


def test_the_metadata_are_complete(wheel):
    metadata = wheel_metadata(wheel)
    assert metadata.name == "pml-hyperbolic"
    assert str(metadata.version) == pml_hyperbolic.__version__
    assert metadata.license_expression == "MIT"
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (ROOT / "README.md").read_text()
    assert metadata.summary
    assert metadata.author
    assert metadata.keywords
    assert ">=3.10" in str(metadata.requires_python)
    assert {"benchmark", "plots", "cpu", "gpu", "postgresql", "test"} <= set(
        metadata.provides_extra
    )
    assert not any(one.url for one in metadata.requires_dist), "PyPI takes no direct addresses"


def test_the_sdist_builds_the_same_wheel(wheel, sdist, tmp_path):
    assert contents(build(sdist, "wheel", tmp_path)) == contents(wheel)


def test_the_sdist_holds_what_tests_need_and_no_data(sdist):
    held = files_in(sdist)
    for folder in ("tests", "docs", "scripts", "benchmark_configs", ".ci"):
        inside = {name for name in held if name.startswith(f"{folder}/")}
        assert inside == {f"{folder}/{name}" for name in files_in(ROOT / folder)}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"} <= set(held)
    assert sum(file.stat().st_size for file in held.values()) < 10 * 2**20


# What works with the required packages alone, said by a program: training, search and messages.
CORE = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
import pml_hyperbolic
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.losses import CHESTLoss, HIERLoss, HypLoss
from pml_hyperbolic.utils.retrieval import PoincareKNN

embeddings, labels = torch.randn(24, 8, requires_grad=True), torch.arange(24) // 4
for loss in (CHESTLoss(6, 4, 4), HIERLoss(8, num_proxies=4, num_neighbors=4), HypLoss()):
    loss(embeddings, labels).backward()
assert embeddings.grad.isfinite().all()
points = embeddings.detach()
found = PoincareKNN(PoincareDistance())(points, 1, reference=points)[1]
assert found.squeeze(1).tolist() == list(range(24))
print("faiss" if "faiss" in sys.modules else "no faiss")
for command in (["list"], ["run", "digits"], ["validate", "digits"]):
    assert main(command) == 2
assert main(["doctor"]) == 0
"""
DRAW = """
import warnings
warnings.simplefilter("ignore")
import numpy as np, torch
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.visualize import disk, disk_frames
frames = disk_frames([torch.randn(40, 4)], distance=PoincareDistance())
disk(frames, np.arange(40) // 20).savefig("disk.png")
"""


@pytest.fixture(scope="module")
def install(wheel, tmp_path_factory):
    """A function that installs the wheel with some extras, once for each choice."""
    made = {}

    def installed(*extras):
        if extras not in made:
            made[extras] = Installation(tmp_path_factory.mktemp("installed"), wheel, extras)
        return made[extras]

    return installed


@pytest.mark.parametrize(
    ("extras", "faiss"), [((), "no faiss"), (("cpu",), "faiss"), (("postgresql",), "no faiss")]
)
def test_losses_and_search_need_no_extra(install, extras, faiss):
    done = install(*extras).run("python", "-c", CORE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == faiss
    refused = done.stderr.splitlines()
    assert len(refused) == 3
    for line in refused:
        assert re.fullmatch(
            r"pml-hyperbolic: \S+ is missing: install the extra `benchmark` with "
            r"pip install 'pml-hyperbolic\[benchmark\]'",
            line,
        )
    assert "the extra `benchmark` is not installed: " in done.stdout
    assert ("the extra `postgresql` lacks" in done.stdout) == ("postgresql" not in extras)


@pytest.mark.long
def test_the_extra_plots_draws_without_the_benchmark(install):
    installation = install("plots")
    done = installation.run("python", "-c", DRAW)
    assert done.returncode == 0, done.stderr
    assert (installation.folder / "disk.png").stat().st_size > 1000


def test_the_demo_in_an_environment_of_its_own(install):
    installation = install("benchmark", "cpu")

    def command(*words):
        done = installation.run("pml-hyperbolic", *words)
        assert done.returncode == 0, done.stderr
        return done

    assert command("--version").stdout == f"pml-hyperbolic {pml_hyperbolic.__version__}\n"
    listed = command("list")
    assert listed.stderr == ""
    assert "(none)" not in listed.stdout
    assert re.search(r"^  digits: proxy_anchor, ", listed.stdout, re.MULTILINE)
    doctor = command("doctor").stdout.splitlines()
    assert doctor[1] == f"pml_hyperbolic {pml_hyperbolic.__version__}"
    assert doctor[-1] == "everything is in order"
    short = ["protocol.epochs=2", "protocol.steps_per_epoch=2", "protocol.seeds=[0]"]
    run = command("run", "digits", "methods=[proxy_anchor, hyp, chest]", *short, "--jobs", "1")
    # Nothing but the progress bar.
    said = [line for line in re.split(r"[\r\n]+", run.stderr) if line.strip()]
    assert [line for line in said if not line.startswith("digits: ")] == []
    assert "Comparison" in run.stdout
    assert "is missing" not in run.stdout
    assert (installation.folder / "runs/digits/report.html").stat().st_size > 10_000
    assert (installation.folder / "runs/digits/results.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["search", "digits", "--trials", "1", "--storage", "postgresql://localhost/none"],
            "install the extra `postgresql` with pip install 'pml-hyperbolic[postgresql]'",
        ),
        (["plot", "disk", "embeddings.npz"], "pip install 'pml-hyperbolic[plots]'"),
    ],
)
def test_commands_of_the_benchmark_name_the_other_extras(install, words, message):
    installation = install("benchmark", "cpu")
    made = (
        "import numpy as np; np.savez('embeddings.npz', embeddings=np.random.randn(40, 4), "
        "labels=np.arange(40) // 20, c=0.1)"
    )
    assert installation.run("python", "-c", made).returncode == 0
    done = installation.run("pml-hyperbolic", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
