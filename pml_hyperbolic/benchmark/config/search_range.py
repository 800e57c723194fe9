"""SearchRange: the values that a search may try for one setting."""

from typing import Annotated

from pydantic import Field, model_validator

from .strict_model import Number, StrictModel


class SearchRange(StrictModel):
    """The values that ``search`` may try: a range, an increasing grid, or unordered choices.

    A range between two integers holds integers only. ``log`` searches a range on a logarithmic
    scale.
    """

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    grid: Annotated[list[Number], Field(min_length=2)] | None = None
    choices: Annotated[list[str | bool | Number], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _one_kind(self):
        ends = self.ends
        kinds = (ends is not None) + (self.grid is not None) + (self.choices is not None)
        if kinds != 1 or (self.low is None) != (self.high is None):
            raise ValueError(
                "expected either low with high, or grid, or choices: keep one of these kinds"
            )
        if ends is not None and not ends[0] < ends[1]:
            raise ValueError(
                f"low must be less than high, got {self.low} and {self.high}: exchange them"
            )
        if self.log and (ends is None or ends[0] <= 0):
            raise ValueError(
                f"log needs low and high, both greater than 0, got {self.low} and {self.high}: "
                f"raise them, or leave log out"
            )
        if self.grid is not None and sorted(set(self.grid)) != self.grid:
            raise ValueError(f"grid must increase, got {self.grid}: sort it")
        # 1 == True, but they are different choices.
        if self.choices is not None and len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError(
                f"choices must differ from each other, got {self.choices}: keep one of each"
            )
        return self

    @property
    def ends(self) -> tuple[Number, Number] | None:
        """The two ends of a range, None for a grid or for choices."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def extremes(self) -> list:
        """All values of a grid or of choices, the two ends of a range."""
        return self.grid or self.choices or [self.low, self.high]
