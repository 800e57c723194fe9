"""RunMeasures: geometry and hierarchy of a run's test embeddings, as measures.json stores them."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ...checked_files import write_checked_json
from .record_file import read_record
from .row import Count, Record, Share, Text

# All radii within 1% of their mean: to the eye, and to a ranking, one sphere.
_ONE_SPHERE = 0.01
_EQUAL_RADII = 1e-4  # what rounding may leave
_SAME_RANKING = 0.99

# Why a hierarchy is not measured, where there is nothing to compare it with.
ONE_LEVEL = "the labels have one level, so there are no superclasses to compare with"

NotNegative = Annotated[float, Field(ge=0)]
# Tree -> name of a measure -> what it is. Measures of a tree are named "KIND" or "KIND/LEVEL".
CLASS_MEANS = "class means, average linkage"
ANCESTORS = "class means, learned ancestors"
DECODED_PROXIES = "training classes, decoded proxies"


class GeometryMeasures(Record):
    """What distinguishes an embedding in the ball from its directions alone.

    Attributes:
        saturation: share of the embeddings at the clip radius.
        mean_radius: mean tangent norm after clipping.
        radius_spread: standard deviation of these norms divided by their mean.
        cosine_agreement: mean share of the k nearest neighbors by geodesic distance that are also
            among the k nearest by cosine.
        neighbors: k.
        relative_delta: Gromov's delta of the geodesic distances, ``2 delta / diameter``; None if
            it is 0 or all points coincide.
        suggested_c: the curvature magnitude that this delta suggests, None if it suggests none.
        starts_inside: whether the head starts inside the clip radius, None where it is not known.
    """

    saturation: Share
    mean_radius: NotNegative
    radius_spread: NotNegative
    cosine_agreement: Share
    neighbors: Count
    relative_delta: NotNegative | None = None
    suggested_c: NotNegative | None = None
    starts_inside: bool | None = None

    @property
    def sentence(self) -> str:
        """The measures in one plain sentence, with the advice that follows from them."""
        if self.saturation == 1:
            advice = {
                True: "lower head_lr",
                False: "set the method's head.initial_radius to about a quarter of the clip "
                "radius, and lower head_lr if they still do",
                None: "let head.initial_radius be below the clip radius, and lower head_lr",
            }[self.starts_inside]
            # A smooth clip lets radii differ by up to 1 % where it counts as saturated.
            one_sphere = self.radius_spread < _EQUAL_RADII
            return (
                f"All points lie {'at' if one_sphere else 'within 1 % of'} the clip radius: this "
                f"ranking is {'' if one_sphere else 'nearly '}the cosine ranking. To let their "
                f"radii differ, {advice}."
            )
        if self.radius_spread < _ONE_SPHERE:
            return (
                f"All points lie close to one sphere (radius {self.mean_radius:.2f}, spread "
                f"{self.radius_spread:.1%}): this ranking is nearly the cosine ranking."
            )
        if self.cosine_agreement >= _SAME_RANKING:
            return (
                f"The radii differ (by {self.radius_spread:.0%} of their mean), but "
                f"{self.cosine_agreement:.1%} of the {self.neighbors} nearest neighbors are those "
                f"by cosine: the radius hardly matters for this ranking."
            )
        return (
            f"The radii differ (by {self.radius_spread:.0%} of their mean), and "
            f"{1 - self.cosine_agreement:.1%} of the {self.neighbors} nearest neighbors are not "
            f"those by cosine: the radius takes part in this ranking."
        )


class HierarchyMeasure(Record):
    """A measure of agreement with the true superclasses, beside random trees.

    Attributes:
        value: the measure.
        random_mean: its mean over random trees of the same shape.
        random_low, random_high: the interval that holds 95% of them.
    """

    value: float
    random_mean: float
    random_low: float
    random_high: float


class SpaceMeasures(Record):
    """The measures of one embedding space.

    Attributes:
        geometry: of a hyperbolic space; None for a Euclidean one, or where it was not measured.
        trees: name of a tree -> name of a measure -> measure.
        neighbors: name of a measure of the nearest neighbors -> measure.
        problems: what could not be measured, and why, one sentence each.
    """

    geometry: GeometryMeasures | None = None
    trees: dict[Text, dict[Text, HierarchyMeasure]] = Field(default_factory=dict)
    neighbors: dict[Text, HierarchyMeasure] = Field(default_factory=dict)
    problems: list[Text] = Field(default_factory=list)


class RunMeasures(Record):
    """The measures of one run.

    Attributes:
        spaces: name of a space -> its measures.
    """

    spaces: dict[Text, SpaceMeasures]


def write_measures(file: Path, measures: RunMeasures) -> None:
    """Write measures as JSON, with a checksum."""
    write_checked_json(file, measures.model_dump())


def read_measures(file: Path) -> RunMeasures:
    """Return the measures that :func:`write_measures` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it cannot be read, or holds something else.
    """
    return read_record(file, RunMeasures.model_validate, "remove it to have the run measured again")
