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


def test_absent_packages_are_left_out():
    assert list(packages.package_versions(["numpy", "no-such-package-here"])) == ["numpy"]


def test_the_version_of_this_project_is_that_of_its_code(monkeypatch):
    monkeypatch.setattr(packages, "__version__", "9.9")
    assert packages.package_versions()["pml_hyperbolic"] == "9.9"


def test_requirements_of_what_is_not_installed_are_none():
    assert packages.requirements("no-such-package-here") == []
    assert packages.unfit("no-such-package-here", {"torch": "1"}) == []


def test_an_extra_adds_to_what_is_always_required():
    always = {one.name for one in packages.requirements("pml_hyperbolic")}
    assert "torch" in always
    assert {one.name for one in packages.requirements("pml_hyperbolic", "postgresql")} == {
        "psycopg"
    }
    assert not {"psycopg", "timm"} & always


def test_unfit_are_those_outside_the_range(monkeypatch):
    monkeypatch.setattr(
        packages.importlib.metadata, "requires", lambda name: ["a>=2", "B_c<3", "d; extra == 'x'"]
    )
    installed = {"a": "1.9", "b-c": "2.9+cu1", "d": "1"}
    ((requirement, version),) = packages.unfit("any", installed)
    assert (requirement.name, version) == ("a", "1.9")
    assert packages.unfit("any", {**installed, "a": "2.0rc1"}) != []
    assert packages.unfit("any", {**installed, "a": "3.0rc1"}) == []
