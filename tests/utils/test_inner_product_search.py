"""Which program searches, and that no setting of torch reaches its precision."""

import logging
import sys

import pytest
import torch
from pytorch_metric_learning.utils import common_functions as c_f

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.utils import PoincareKNN
from tests.utils.search_cases import assert_exact, brute_force, mixed_radii


def test_no_precision_setting_or_autocast_reaches_the_torch_search(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    x, distance = mixed_radii()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = PoincareKNN(distance)(x, 5, x, True)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert_exact(found, brute_force(x, x, distance, leave_out_own=True), 5)


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9"
)
def test_the_search_works_where_a_process_uses_both_settings_of_precision(monkeypatch):
    """Then torch refuses to say what ``torch.get_float32_matmul_precision()`` is."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    x, distance = mixed_radii()
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with pytest.raises(RuntimeError):
            torch.get_float32_matmul_precision()
        found = PoincareKNN(distance)(x, 5, x, True)
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    assert_exact(found, brute_force(x, x, distance, leave_out_own=True), 5)


def test_broken_faiss_is_named(monkeypatch, caplog):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "faiss":
                raise ImportError("undefined symbol")

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    x = torch.randn(20, 4)
    with caplog.at_level(logging.WARNING, logger=c_f.LOGGER_NAME):
        PoincareKNN(PoincareDistance())(x, 1, x)
    assert any("undefined symbol" in message for message in caplog.messages)
