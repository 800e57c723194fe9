"""The lists of packages agree with pyproject.toml and with what is installed."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from pml_hyperbolic.benchmark import packages
from pml_hyperbolic.benchmark.reporting.comparability import COMPARED_PACKAGES

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def declared(key):
    """The names of the packages in a list of pyproject.toml, without their versions."""
    (content,) = re.findall(rf"^{key} = \[(.*?)\]", PYPROJECT.read_text(), re.DOTALL | re.MULTILINE)
    return set(re.findall(r'"([A-Za-z][\w.-]*)[^"]*"', content))


def test_the_extra_is_that_of_pyproject():
    # The extra also holds PML itself, below version 3.
    assert declared("benchmark") - declared("dependencies") == set(packages.BENCHMARK_PACKAGES)


def test_only_the_extra_needs_version_2_of_pml():
    bounds = re.findall(r'"pytorch-metric-learning([^"]*)"', PYPROJECT.read_text())
    assert bounds == [">=2.9", ">=2.9,<3"]


def test_all_packages_are_those_of_pyproject():
    extras = set().union(*map(declared, ("dependencies", "benchmark", "cpu", "gpu")))
    assert extras | {"pml_hyperbolic"} == set(packages.PACKAGES)
    assert set(COMPARED_PACKAGES) <= set(packages.PACKAGES)


@pytest.mark.parametrize(("package", "module"), packages.BENCHMARK_PACKAGES.items())
def test_packages_provide_their_modules(package, module):
    provided = importlib.metadata.packages_distributions()[module]
    assert package in {name.lower().replace("_", "-") for name in provided}
    assert packages.package_of_module(f"{module}.some.part") == package


def test_other_modules_are_of_no_package():
    assert packages.package_of_module("torch") is None
    assert packages.package_of_module("") is None


def test_versions_are_those_installed():
    versions = packages.package_versions()
    assert versions["numpy"] == importlib.metadata.version("numpy")
    assert set(versions) <= set(packages.PACKAGES)


def test_absent_packages_are_left_out(monkeypatch):
    monkeypatch.setattr(packages, "PACKAGES", ("numpy", "no-such-package-here"))
    assert list(packages.package_versions()) == ["numpy"]
