#!/usr/bin/env python
"""Run PML's own accuracy-calculator tests with this package's calculators in place of PML's.

    git clone --branch v2.8.1 https://github.com/KevinMusgrave/pytorch-metric-learning pml
    python scripts/pml_accuracy_tests.py --checkout pml            # takes several minutes
    python scripts/pml_accuracy_tests.py --checkout pml hyperbolic # one of the calculators

The expected values of these tests are those of Euclidean space, so each calculator runs where its
geometry is Euclidean, and with PML's default k=None:

- hyperbolic: HyperbolicAccuracyCalculator at the flat limit, c = 1e-7 without clipping;
  PML's FaissKNN becomes PoincareKNN, except where a test asks it for a FAISS index or for GPUs;
- cosine: CosineAccuracyCalculator without its normalisation;
- spaces: EmbeddingSpacesCalculator with one space, the hyperbolic one above, which also answers for
  what only an AccuracyCalculator has (``knn_func``, ``get_function_dict``, ``_get_accuracy``);
- pml: PML's own, as a control, only if it is asked for.

The exit status is 1 if a calculator fails a test, 2 if there are no such tests in the checkout.
"""

import argparse
import contextlib
import functools
import importlib
import os
import sys
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from pytorch_metric_learning.utils import accuracy_calculator
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils.inference import FaissKNN

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.utils import (
    CosineAccuracyCalculator,
    EmbeddingSpace,
    EmbeddingSpacesCalculator,
    HyperbolicAccuracyCalculator,
    PoincareKNN,
    cosine_accuracy_calculator,
)

FLAT = PoincareDistance(c=1e-7, clip_radius=None)
TEST_MODULES = ("test_calculate_accuracies", "test_calculate_accuracies_large_k")
CALCULATOR = f"{accuracy_calculator.__name__}.AccuracyCalculator"


def main() -> int:
    """Run the tests once for each calculator; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkout", type=Path, required=True, metavar="DIR", help="a checkout of PML's repository"
    )
    parser.add_argument(
        "calculators",
        nargs="*",
        metavar="CALCULATOR",
        help=f"some of: {', '.join(SUBSTITUTES)} (default: all but pml)",
    )
    options = parser.parse_args()
    names = options.calculators or [name for name in SUBSTITUTES if name != "pml"]
    unknown = [name for name in names if name not in SUBSTITUTES]
    if unknown:
        parser.error(f"unknown calculator {unknown[0]!r}: choose from {', '.join(SUBSTITUTES)}")
    folder = options.checkout.resolve()
    for name in TEST_MODULES:
        if not (folder / "tests" / "utils" / f"{name}.py").is_file():
            print(f"{folder} has no tests/utils/{name}.py: give a checkout of PML", file=sys.stderr)
            return 2
    os.environ.setdefault("TEST_DEVICE", "cuda" if torch.cuda.is_available() else "cpu")
    sys.path.insert(0, str(folder))
    modules = [importlib.import_module(f"tests.utils.{name}") for name in TEST_MODULES]
    # PML computes expected values in a loop of minutes; they are the same for every calculator.
    large_k = modules[1].TestCalculateAccuraciesLargeK
    large_k.evaluate = remembered(large_k.evaluate)
    is_passed = [run(name, SUBSTITUTES[name], modules) for name in names]
    return 0 if all(is_passed) else 1


def run(name: str, substitute: Callable, modules: list) -> bool:
    """Run all tests with one calculator and print the counts; returns whether all passed."""
    loader = unittest.TestLoader()
    suite = unittest.TestSuite(loader.loadTestsFromModule(module) for module in modules)
    result = unittest.TestResult()
    with substitute(modules):
        suite.run(result)
    failed = result.failures + result.errors
    print(f"{name}: {result.testsRun - len(failed)} of {result.testsRun} tests pass", flush=True)
    for test, trace in failed:
        print(f"\n{test.id()}\n{trace}")
    return result.testsRun > 0 and not failed


def remembered(evaluate: Callable) -> Callable:
    """PML's ``evaluate``, called once for equal embeddings, labels and options."""
    values: dict[tuple, tuple] = {}

    def look_up(self: unittest.TestCase, rows: np.ndarray, labels: np.ndarray, *options: Any):
        key = (rows.tobytes(), labels.tobytes(), *options)
        if key not in values:
            values[key] = evaluate(self, rows, labels, *options)
        return values[key]

    return look_up


@contextlib.contextmanager
def pml(modules: list) -> Iterator[None]:
    """Nothing in place of PML's calculator."""
    yield


@contextlib.contextmanager
def hyperbolic(modules: list) -> Iterator[None]:
    """HyperbolicAccuracyCalculator and PoincareKNN at the flat limit."""
    calculator = functools.partial(HyperbolicAccuracyCalculator, FLAT, k=None)
    with mock.patch(CALCULATOR, calculator), flat_search(modules):
        yield


@contextlib.contextmanager
def cosine(modules: list) -> Iterator[None]:
    """CosineAccuracyCalculator on embeddings as they are."""
    calculator = functools.partial(CosineAccuracyCalculator, k=None)
    unchanged = mock.patch.object(cosine_accuracy_calculator, "_normalized", c_f.numpy_to_torch)
    with mock.patch(CALCULATOR, calculator), unchanged:
        yield


@contextlib.contextmanager
def spaces(modules: list) -> Iterator[None]:
    """EmbeddingSpacesCalculator with one space at the flat limit."""
    with mock.patch(CALCULATOR, OneSpaceCalculator), flat_search(modules):
        yield


class OneSpaceCalculator(EmbeddingSpacesCalculator):
    """The hyperbolic calculator at the flat limit as the only space, built like PML's."""

    def __init__(self, **options: Any):
        calculator = HyperbolicAccuracyCalculator(FLAT, **{"k": None, **options})
        super().__init__({"hyperbolic": EmbeddingSpace(slice(None), calculator)})

    def __getattr__(self, name: str) -> Any:
        if name == "spaces":  # not set yet
            raise AttributeError(name)
        return getattr(self.spaces["hyperbolic"].accuracy_calculator, name)


@contextlib.contextmanager
def flat_search(modules: list) -> Iterator[None]:
    """PoincareKNN at the flat limit, where a test asks for a FaissKNN without FAISS's options."""

    def search(**options: Any) -> FaissKNN | PoincareKNN:
        is_general = set(options) <= {"reset_before", "reset_after"}
        return PoincareKNN(FLAT, **options) if is_general else FaissKNN(**options)

    with contextlib.ExitStack() as stack:
        for module in modules:
            if hasattr(module, "FaissKNN"):
                stack.enter_context(mock.patch.object(module, "FaissKNN", search))
        yield


SUBSTITUTES = {"hyperbolic": hyperbolic, "cosine": cosine, "spaces": spaces, "pml": pml}

if __name__ == "__main__":
    sys.exit(main())
