"""UntrainedScores are read back as written; anything else is refused."""

import pytest

from pml_hyperbolic.benchmark.results.metric_names import METRICS
from pml_hyperbolic.benchmark.results.untrained_scores import (
    UntrainedScores,
    read_untrained,
    write_untrained,
)
from pml_hyperbolic.errors import InputError

LINE = UntrainedScores(
    name="untrained trunk", fold=1, dimension=16, test=dict.fromkeys(METRICS, 0.5)
)


def test_lines_read_back(tmp_path):
    write_untrained(tmp_path / "untrained.json", [LINE])
    assert read_untrained(tmp_path / "untrained.json") == [LINE]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "Expecting value"),
        ("[]", "no scores"),
        ('[{"name": "a", "fold": 0, "dimension": 2, "test": {}}]', "should have precision_at_1"),
    ],
)
def test_damaged_lines_are_refused(tmp_path, text, problem):
    file = tmp_path / "untrained.json"
    file.write_text(text)
    with pytest.raises(InputError, match="run the benchmark again") as error:
        read_untrained(file)
    assert problem in str(error.value)
