"""Row: the results of one run in one embedding space, as result.json and results.json store them.

``running/single_run.py`` makes the rows of a run, ``FinishedRun`` reads them back, and reports use
them by attribute.
"""

import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...checked_files import read_checked_json, write_checked_json
from ...errors import InputError, message_of
from .metric_names import METRICS

Text = Annotated[str, Field(min_length=1)]
Index = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
# Every metric is a share of something; rounding may carry a mean slightly above 1.
Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]
Scores = dict[Text, Share]


def _with_all_metrics(test: Scores) -> Scores:
    lacking = [metric for metric in METRICS if metric not in test]
    if lacking:
        raise ValueError(f"should have {', '.join(lacking)}")
    return test


# Scores on the test classes have all of METRICS.
TestScores = Annotated[Scores, AfterValidator(_with_all_metrics)]


class Record(BaseModel):
    """Strictly typed and finite; keys of later versions are kept, not refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)


class ParameterCounts(Record):
    """Numbers of parameters of a run's trunk, head and loss."""

    trunk: Index
    head: Index
    loss: Index = 0

    @property
    def budget(self) -> int:
        """Parameters of trunk and head, which should be equal for all methods."""
        return self.trunk + self.head


class Geometry(Record):
    """Arguments of the ``PoincareDistance`` that ranks the hyperbolic space."""

    c: Annotated[float, Field(gt=0)]
    clip_radius: Annotated[float, Field(gt=0)] | None = None
    inputs: Text
    clip: Text = "hard"


class Row(Record):
    """One method on one fold under one seed, scored in one space.

    The fields are written in this order. Those with a default were added after the first version:
    rows without them remain readable, and are written back without them.

    Attributes:
        method: its name.
        space: "euclidean" or "hyperbolic".
        fold: of the protocol's splits, from 0.
        seed: of everything random.
        epoch: the selected one, from 1.
        seconds: the time that the run took, over all processes that worked on it.
        dimension: of the embedding in this space.
        total_dimension: of the embedding in all spaces together.
        protocol_hash: of everything that the methods of a benchmark share.
        data: fingerprint of the data, None where it was not recorded.
        method_hash: of the method's settings, None where it was not recorded.
        search_trials: by which the method was tuned, None where it was not tuned.
        flat_twin_of: the method of which this one is the flat twin, if it is one.
        different_parameters: whether the method declares another number of parameters.
        different_search_trials: whether the method declares another number of trials.
        saturation: name -> share of embeddings or proxies at the clip radius.
        parameters: their numbers, None where they were not recorded.
        geometry: of the hyperbolic space; None for the Euclidean one.
        levels: names of the levels of labels, the finest first; empty where not recorded.
        test: metric -> value on the test classes; it has all of ``METRICS``.
        test_levels: name of a coarser level -> metric -> value.
        validation: metric -> value on the validation classes, at the selected epoch.
        train: metric -> value on the training classes, without augmentation.
        concatenated: metric -> value of the embeddings of all folds side by side on the test
            classes; None where the folds were not scored together. Every fold repeats it.
        concatenated_levels: name of a coarser level -> metric -> value, likewise.
    """

    method: Text
    space: Text
    fold: Index = 0
    seed: Index
    epoch: Count
    seconds: Annotated[float, Field(ge=0, lt=1e12)]
    dimension: Count
    total_dimension: Count
    protocol_hash: Text
    data: Text | None = None
    method_hash: Text | None = None
    search_trials: Index | None = None
    flat_twin_of: Text | None = None
    different_parameters: bool | None = None
    different_search_trials: bool | None = None
    saturation: dict[Text, Share] = {}
    parameters: ParameterCounts | None = None
    geometry: Geometry | None = None
    levels: list[Text] = []
    test: TestScores
    test_levels: dict[Text, Scores] = {}
    validation: Scores = {}
    train: Scores = {}
    concatenated: Scores | None = None
    concatenated_levels: dict[Text, Scores] | None = None

    @classmethod
    def parse(cls, content: Any) -> "Row":
        """Return the row that plain data describe.

        Raises:
            ValueError: they describe none; the message says in one line what is wrong.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None

    def plain(self) -> dict[str, Any]:
        """Return plain data for JSON, without the keys that the row was read without."""
        return self.model_dump(exclude_unset=True)

    @property
    def scores(self) -> dict[str, dict[str, Scores]]:
        """Split -> level of the labels -> metric -> value; the finest level comes first.

        A level is "" where the names of levels were not recorded.
        """
        finest = self.levels[0] if self.levels else ""
        return {
            "train": {finest: self.train},
            "validation": {finest: self.validation},
            "test": {finest: self.test, **self.test_levels},
            "concatenated": {finest: self.concatenated or {}, **(self.concatenated_levels or {})},
        }


def read_rows(file: Path) -> list[Row]:
    """Return the rows of one run: one for each space.

    Raises:
        InputError: the file is absent, or anything else than the rows of one run.
        OSError: it cannot be read now.
    """
    try:
        return _parse_rows(read_checked_json(file))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        problem = error.strerror
    # Deeply nested lists exhaust the JSON parser's recursion.
    except (ValueError, RecursionError) as error:
        problem = message_of(error)
    raise InputError(
        f"{file} is not a result of `pml-hyperbolic run` ({problem}): remove {file.parent} and run "
        f"again"
    )


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write the rows of one run as JSON, with a checksum."""
    write_checked_json(file, [row.plain() for row in rows])


def _parse_rows(content):
    if not isinstance(content, list) or not content:
        raise ValueError(f"expected a list of rows, got {reprlib.repr(content)}")
    rows = []
    for number, item in enumerate(content):
        try:
            rows.append(Row.parse(item))
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from None
    if len({(row.method, row.fold, row.seed) for row in rows}) > 1:
        raise ValueError("its rows are of different runs")
    if len({row.space for row in rows}) < len(rows):
        raise ValueError("two of its rows are of the same space")
    return rows


def first_problem(error: ValidationError) -> str:
    """Return the first problem in one line, its place first."""
    problem = error.errors(include_url=False)[0]
    place = "".join(f"{part}." for part in problem["loc"]).removesuffix(".")
    if problem["type"] == "missing":
        return f"{place} is missing"
    if problem["type"] in ("dict_type", "model_type"):
        message = "expected an object"
    else:
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
    given = reprlib.repr(problem["input"])
    return " ".join(f"{place or 'a row'}: {message}, got {given}".split())
