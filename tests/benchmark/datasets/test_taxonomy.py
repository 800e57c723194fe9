"""Families of birds and body types of cars, found by the names of classes."""

from collections import Counter

import pytest

from pml_hyperbolic.benchmark.datasets.taxonomy import _birds, bird_groups, car_groups


def test_the_birds_are_those_of_cub():
    groups = _birds()
    assert len(groups) == 200
    assert len({group["family"] for group in groups.values()}) == 37
    assert len({group["order"] for group in groups.values()}) == 13
    # A family belongs to one order.
    assert len({tuple(group.values()) for group in groups.values()}) == 37
    assert Counter(group["order"] for group in groups.values())["Passeriformes"] == 133


@pytest.mark.parametrize(
    "name",
    ["Whip_poor_Will", "105.Whip_poor_Will", "Caprimulgidae/105.Whip_poor_Will"],
)
def test_a_bird_is_found_under_all_its_names(name):
    assert bird_groups(name) == {"family": "Caprimulgidae", "order": "Caprimulgiformes"}


@pytest.mark.parametrize("name", ["", "Dodo", "001.", "x.Mallard", "mallard"])
def test_other_birds_are_unknown(name):
    assert bird_groups(name) is None


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Audi TTS Coupe 2012", "coupe"),
        ("AM General Hummer SUV 2000", "SUV"),
        ("Bentley Continental Supersports Conv. Convertible 2012", "convertible"),
        ("Ford E-Series Wagon Van 2012", "van"),
        ("Ford F-150 Regular Cab 2007", "pickup"),
        ("Ford Ranger SuperCab 2011", "pickup"),
        ("Ram C/V Cargo Van Minivan 2012", "minivan"),
        ("Chevrolet TrailBlazer SS 2009", "SUV"),
        ("FIAT 500 Abarth 2012", "hatchback"),
        ("Fiat 500 Abarth 2012", "hatchback"),
        ("sedans/Tesla_Model_S_Sedan_2012", "sedan"),
        ("Audi 100 Wagon", "wagon"),
    ],
)
def test_the_body_of_a_car(name, body):
    assert car_groups(name) == {"body type": body}


@pytest.mark.parametrize("name", ["", "2012", "Model 7", "Sedan de Ville 1999"])
def test_other_cars_have_no_known_body(name):
    assert car_groups(name) is None
