"""What differs between the generations of PML, as the installed one has it."""

import logging

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import SoftTripleLoss
from pytorch_metric_learning.reducers import MeanReducer
from pytorch_metric_learning.utils import common_functions as c_f

from pml_hyperbolic import _pml
from pml_hyperbolic.losses import CHESTLoss, HIERLoss, HypLoss
from pml_hyperbolic.regularizers import HIERRegularizer, HypHCRegularizer

ROWS, LABELS = torch.randn(4, 3), torch.arange(4)


def test_the_tests_run_with_version_2():
    assert not _pml.IS_VERSION_3


@pytest.mark.parametrize("name", [n for n, (place, _) in _pml._PLACES.items() if place])
def test_every_place_in_version_2_exists(name):
    assert getattr(_pml, name) is not None


def test_names_of_version_3_are_refused_in_one_line():
    message = r"^RetrievalMetric needs pytorch-metric-learning 3, but 2\.[^\n]* is installed: "
    with pytest.raises(ImportError, match=message):
        _ = _pml.RetrievalMetric


def test_other_names_are_none_of_its():
    with pytest.raises(AttributeError, match="no attribute 'LpDistance'"):
        _ = _pml.LpDistance


def test_the_logger_is_the_one_that_users_chose(monkeypatch):
    assert _pml.logger().name == "PML"
    monkeypatch.setattr(c_f, "LOGGER", logging.getLogger("mine"))
    assert _pml.logger().name == "mine"


def test_random_choices_are_those_of_pml(monkeypatch):
    generator = np.random.default_rng(0)
    monkeypatch.setattr(c_f, "NUMPY_RANDOM", generator)
    assert _pml.numpy_random() is generator


def test_arrays_become_tensors_without_a_copy():
    array = np.zeros((2, 3), dtype=np.float32)
    tensor = _pml.numpy_to_torch(array)
    array[0, 0] = 5
    assert tensor[0, 0] == 5
    words = np.array(["a", "b"])
    for unchanged in (tensor, words, [1, 2], None):
        assert _pml.numpy_to_torch(unchanged) is unchanged


def test_terms_are_what_reducers_take():
    rows = torch.arange(4)
    terms = {
        "element": _pml.loss_term(ROWS[:, 0], rows, "element"),
        "pos_pair": _pml.loss_term(ROWS[:, 0], (rows, rows), "pos_pair"),
        "already_reduced": _pml.loss_term(ROWS[0, 0]),
    }
    for name, term in terms.items():
        assert term["reduction_type"] == name
        expected = term["losses"].mean()
        assert torch.equal(MeanReducer()({"loss": term}, ROWS, LABELS), expected)


def test_the_term_that_is_zero_gives_no_gradient():
    rows = torch.full((2, 3), 6e4, dtype=torch.float16, requires_grad=True)
    term = _pml.zero_term(rows)
    term["losses"].backward()
    assert term["losses"] == 0
    assert rows.grad.count_nonzero() == 0


def test_a_batch_is_its_own_reference():
    references = _pml.self_references(ROWS, LABELS)
    assert not _pml.has_references(ROWS, LABELS, *references)
    assert not _pml.has_references(ROWS, LABELS, None, None)
    assert _pml.has_references(ROWS, LABELS, ROWS.clone(), LABELS)
    assert _pml.has_references(ROWS, LABELS, ROWS, LABELS.clone())
    with pytest.raises(ValueError, match=r"^SomeLoss takes neither ref_emb nor ref_labels"):
        _pml.refuse_references("SomeLoss", ROWS, LABELS, ROWS.clone(), None)


def test_proxies_of_a_class_lie_side_by_side():
    loss = SoftTripleLoss(3, 2, centers_per_class=2)
    with torch.no_grad():
        # Class 1 alone points along the first axis.
        loss.fc.copy_(torch.tensor([[0, 0, 1, 1, 0, 0], [1, 1, 0, 0, -1, -1]]))
    assert _pml.soft_triple_proxies(loss).tolist()[2:4] == [[1, 0], [1, 0]]
    assert loss.get_logits(torch.tensor([[2.0, 0.0]])).argmax() == 1


@pytest.mark.parametrize("kind", [HypLoss, HIERLoss, CHESTLoss, HIERRegularizer, HypHCRegularizer])
def test_both_names_of_a_hook_are_one_method(kind):
    assert kind.default_distance is kind.get_default_distance
