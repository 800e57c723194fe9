"""A small git checkout in the layout of PML's repository, made from the installed package."""

import shutil
import subprocess
from pathlib import Path

import pytorch_metric_learning

PAGES = {
    "distances": ["BaseDistance", "CosineSimilarity", "LpDistance", "SNRDistance"],
    # As in PML, two sections are not in the order of their names.
    "losses": ["AngularLoss", "InstanceLoss", "HistogramLoss", "NTXentLoss", "VICRegLoss"],
    "regularizers": ["BaseRegularizer", "LpRegularizer", "ZeroMeanRegularizer"],
}
TABLES = {
    "[Distances](https://kevinmusgrave.github.io/pytorch-metric-learning/distances)": [
        "LpDistance",
        "SNRDistance",
    ],
    "[Losses](https://kevinmusgrave.github.io/pytorch-metric-learning/losses)": [
        "AngularLoss",
        "HistogramLoss",
        "InstanceLoss",
    ],
    "[Regularizers](https://kevinmusgrave.github.io/pytorch-metric-learning/regularizers)": [
        "LpRegularizer"
    ],
    "Utils": ["AccuracyCalculator", "InferenceModel", "TorchInitWrapper"],
}
# What the tests of PML take from their package.
TEST_PACKAGE = """\
import os

import torch

TEST_DTYPES = [getattr(torch, x) for x in os.environ["TEST_DTYPES"].split(",")]
TEST_DEVICE = torch.device(os.environ["TEST_DEVICE"])
"""
CODE = "```python\n### A comment\n## Another\ndistances.Name(**kwargs)\n```\n"


def git(folder, *arguments):
    """The output of a git command; fails if git does."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit_all(folder, message="A change"):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)


def write_skeleton(folder: Path) -> Path:
    """Write and commit the package's source, index pages and empty test packages."""
    source = Path(pytorch_metric_learning.__file__).parent
    package = folder / "src" / "pytorch_metric_learning"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    write(folder / ".gitignore", "__pycache__/\n")
    for name, sections in PAGES.items():
        page = f"# {name.title()}\n\n{CODE}" + "".join(
            f"\n## {section} \n{CODE}\n" for section in sections
        )
        # One page of PML has the line endings of Windows, and one no end of its last line.
        page = page.replace("\n", "\r\n") if name == "regularizers" else page
        write(folder / "docs" / f"{name}.md", page)
    write(
        folder / "docs" / "accuracy_calculation.md", f"# Accuracy\n\n### Parameters\n\n{CODE}"[:-1]
    )
    tables = [
        f"### {title}\n| Name | Reference Papers |\n|---|---|\n"
        + "".join(f"| [**{name}**](https://example.org) |\n" for name in names)
        for title, names in TABLES.items()
    ]
    write(folder / "CONTENTS.md", "## Library contents\n\n" + "\n".join(tables))
    write(folder / "tests" / "__init__.py", TEST_PACKAGE)
    for name in ("distances", "losses", "regularizers", "utils"):
        write(folder / "tests" / name / "__init__.py", "")
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "Tester")
    git(folder, "config", "user.email", "tester@example.org")
    commit_all(folder, "Skeleton")
    return folder


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
