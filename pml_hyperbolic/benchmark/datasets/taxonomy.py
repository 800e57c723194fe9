"""Superclasses that follow from the names of classes: families of birds, body types of cars."""

import importlib.resources
from collections.abc import Callable, Mapping
from functools import cache

import yaml

_BIRDS = "cub_species.yaml"
# The last word before the year in the names of Cars196 -> body type.
_BODIES = {
    "sedan": "sedan",
    "suv": "SUV",
    "coupe": "coupe",
    "convertible": "convertible",
    "hatchback": "hatchback",
    "wagon": "wagon",
    "minivan": "minivan",
    "van": "van",
    "cab": "pickup",
    "supercab": "pickup",
}
# Models of Cars196 whose names do not end in a body type.
_UNNAMED_BODIES = {
    "acura integra type r": "coupe",
    "acura tl type-s": "sedan",
    "buick regal gs": "sedan",
    "chevrolet cobalt ss": "coupe",
    "chevrolet corvette ron fellows edition z06": "coupe",
    "chevrolet corvette zr1": "coupe",
    "chevrolet hhr ss": "wagon",
    "chevrolet trailblazer ss": "SUV",
    "chrysler 300 srt-8": "sedan",
    "dodge challenger srt8": "coupe",
    "dodge charger srt-8": "sedan",
    "fiat 500 abarth": "hatchback",
    "infiniti g coupe ipl": "coupe",
    "jaguar xk xkr": "coupe",
    "lamborghini gallardo lp 570-4 superleggera": "coupe",
}


def bird_groups(name: str) -> dict[str, str] | None:
    """Return the family and the order of a species of CUB200.

    Args:
        name: of its class, as in the release (``001.Black_footed_Albatross``), with or without
            the number and folders in front.

    Returns:
        Name of the level -> name of the group, from the finer level to the coarser, or None for
        a name that is not among the 200 species.
    """
    species = name.rsplit("/", 1)[-1]
    number, _, rest = species.partition(".")
    return _birds().get(rest if number.isdecimal() else species)


def car_groups(name: str) -> dict[str, str] | None:
    """Return the body type of a model of Cars196.

    The names of 181 models end in it (``Audi TTS Coupe 2012``); cabs of all kinds are pickups.
    The 15 others are looked up.

    Args:
        name: of the class, as in the release, with or without folders in front.

    Returns:
        ``{"body type": ...}``, or None for a name that tells no body type.
    """
    words = name.rsplit("/", 1)[-1].replace("_", " ").split()
    if words and words[-1].isdecimal():
        words.pop()  # the year
    body = _BODIES.get(words[-1].lower()) if words else None
    body = body or _UNNAMED_BODIES.get(" ".join(words).lower())
    return None if body is None else {"body type": body}


# Name of a taxonomy -> the groups of a class by its name.
TAXONOMIES: Mapping[str, Callable[[str], dict[str, str] | None]] = {
    "birds": bird_groups,
    "cars": car_groups,
}


@cache
def _birds():
    text = importlib.resources.files(__package__).joinpath(_BIRDS).read_text("utf-8")
    content = yaml.safe_load(text)
    assert isinstance(content, dict)
    return {
        species: {"family": family, "order": order}
        for order, families in content.items()
        for family, members in families.items()
        for species in members
    }
