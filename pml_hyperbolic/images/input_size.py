"""InputSize: how images are brought to the size of a network's input."""

from dataclasses import dataclass

from .resizing import Interpolation


@dataclass(frozen=True)
class InputSize:
    """Resize the short side, then crop a square from the centre.

    Args:
        size: height and width of the square in pixels, >= 1.
        short_side: short side in pixels before the crop, >= ``size``. Default: ``size``.
        interpolation: "bilinear" (default) or "bicubic", always with antialiasing.

    Raises:
        ValueError: ``size`` is below 1, or ``short_side`` is below ``size``.
    """

    size: int
    short_side: int | None = None
    interpolation: Interpolation = "bilinear"

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")
        if self.resized_side < self.size:
            raise ValueError(
                f"short_side must be at least size ({self.size}), or the crop would be larger "
                f"than the image: got {self.short_side}"
            )

    @property
    def resized_side(self) -> int:
        """Short side of the image that the square is cropped from, in pixels."""
        return self.size if self.short_side is None else self.short_side
