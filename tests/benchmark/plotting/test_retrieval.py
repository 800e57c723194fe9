"""Average precision of queries, compared with what runs store and with a loop."""

import numpy as np
import pytest

from pml_hyperbolic.analysis import read_embeddings
from pml_hyperbolic.benchmark.plotting.gathering import file_set, line_set
from pml_hyperbolic.benchmark.plotting.retrieval import average_precisions
from pml_hyperbolic.benchmark.plotting.run_line import chosen_lines


@pytest.mark.parametrize("method", ["hier", "proxy_anchor"])
def test_the_stored_scores_of_a_run_are_found_again(tiny, method):
    (line,) = chosen_lines(tiny.folder / method, most=1)
    one = line_set(line)
    stored = average_precisions(one)
    computed = average_precisions(type(one)(**{**vars(one), "scores": None}))
    np.testing.assert_allclose(computed, stored, atol=1e-5)


def test_a_query_without_a_match_has_no_score(write_file, arrays):
    labels = arrays["labels"].copy()
    labels[0] = 3  # seven of these, five of class 0
    labels[6] = 4  # alone
    path = write_file(labels=labels, without=["superclasses", "class_names"])
    one = file_set(path, read_embeddings(path))
    found = one.found(23)
    expected = []
    for query, label in enumerate(labels):
        matches = int((labels == label).sum()) - 1
        right = [labels[row] == label for row in found[query][:matches]]
        precisions = [sum(right[: place + 1]) / (place + 1) for place in range(matches)]
        total = sum(p for p, hit in zip(precisions, right, strict=True) if hit)
        expected.append(total / matches if matches else np.nan)
    np.testing.assert_allclose(average_precisions(one), expected)
    assert np.isnan(average_precisions(one)[6])
