"""RunMeasures are read back as written, damaged ones are refused, and they speak plainly."""

import pytest

from pml_hyperbolic.benchmark.results.run_measures import (
    CLASS_MEANS,
    GeometryMeasures,
    HierarchyMeasure,
    RunMeasures,
    SpaceMeasures,
    read_measures,
    write_measures,
)
from pml_hyperbolic.errors import InputError

FREE = GeometryMeasures(
    saturation=0.25,
    mean_radius=1.5,
    radius_spread=0.2,
    cosine_agreement=0.5,
    neighbors=10,
    relative_delta=0.2,
    suggested_c=0.5,
    starts_inside=True,
)
PURITY = HierarchyMeasure(value=0.9, random_mean=0.3, random_low=0.2, random_high=0.4)
MEASURES = RunMeasures(
    spaces={
        "hyperbolic": SpaceMeasures(
            geometry=FREE, trees={CLASS_MEANS: {"dendrogram_purity/family": PURITY}}
        ),
        "euclidean": SpaceMeasures(problems=["no superclasses"]),
    }
)


def test_measures_read_back(tmp_path):
    write_measures(tmp_path / "measures.json", MEASURES)
    assert read_measures(tmp_path / "measures.json") == MEASURES


def test_absent_measures_are_not_damaged_ones(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_measures(tmp_path / "measures.json")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Expecting property name"),
        ("[]", "expected an object"),
        ('{"spaces": {"hyperbolic": {"geometry": {"saturation": 2}}}}', "geometry.saturation"),
        ('{"spaces": {"e": {"trees": {"t": {"m": {"value": NaN}}}}}}', "value: should be a finite"),
    ],
)
def test_damaged_measures_are_refused(tmp_path, text, problem):
    file = tmp_path / "measures.json"
    file.write_text(text)
    with pytest.raises(InputError, match="remove it to have the run measured again") as error:
        read_measures(file)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "50.0% of the 10 nearest neighbors are not those by cosine"),
        ({"cosine_agreement": 0.995}, "the radius hardly matters"),
        ({"radius_spread": 0.001}, "nearly the cosine ranking"),
        ({"saturation": 1.0}, "differ, lower head_lr."),
        (
            {"saturation": 1.0, "radius_spread": 0.0, "starts_inside": False},
            "set the method's head.initial_radius",
        ),
        (
            {"saturation": 1.0, "radius_spread": 0.0, "starts_inside": None},
            "this ranking is the cosine ranking",
        ),
        (
            {"saturation": 1.0, "radius_spread": 0.004, "starts_inside": None},
            "within 1 % of the clip radius: this ranking is nearly the cosine ranking",
        ),
    ],
)
def test_the_sentence_follows_the_measures(changes, words):
    assert words in FREE.model_copy(update=changes).sentence
