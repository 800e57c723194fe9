"""Splits: which classes train, which select and which test."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from .strict_model import Distinct, StrictModel

Classes = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Distinct]
# pydantic names the kind of splits in the location of an error, where users have no such key.
SPLITS_TAGS = ("listed", "folded")


class ListedSplits(StrictModel):
    """One fold with its training, validation and test classes listed; the lists are disjoint."""

    train: Annotated[Classes, Field(min_length=2)]
    validation: Annotated[Classes, Field(min_length=2)]
    test: Annotated[Classes, Field(min_length=2)]

    @model_validator(mode="after")
    def _disjoint(self):
        names = ("train", "validation", "test")
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                common = sorted(set(getattr(self, first)) & set(getattr(self, second)))
                if common:
                    raise ValueError(
                        f"classes {common} are in both {first} and {second}, but splits must be "
                        f"class-disjoint: keep each in one of them"
                    )
        return self


class FoldedSplits(StrictModel):
    """Test classes, and class-disjoint folds of the other classes, each validated on in turn.

    Test classes are those that the data set publishes (``official``) or the second half.
    """

    test: Literal["official", "second_half"] = "second_half"
    folds: Annotated[int, Field(ge=2)] = 4


def kind_of_splits(content: Any) -> str:
    """The tag of ``SPLITS_TAGS`` for splits, validated or not."""
    if isinstance(content, dict):
        folded = "folds" in content or isinstance(content.get("test"), str)
        return SPLITS_TAGS[folded]
    return SPLITS_TAGS[isinstance(content, FoldedSplits)]


Splits = Annotated[
    Annotated[ListedSplits, Tag(SPLITS_TAGS[0])] | Annotated[FoldedSplits, Tag(SPLITS_TAGS[1])],
    Discriminator(kind_of_splits),
]
