import torch

from .poincare_distance import PoincareDistance


class PoincareSimilarity(PoincareDistance):
    """
    Geodesic distance on the Poincare ball, turned into a similarity in [-1, 1].

    Clipping bounds all distances by 4 * clip_radius, so the scales and margins
    of losses that are written for cosine similarity apply.
    """

    def __init__(self, c=0.1, clip_radius=2.3, **kwargs):
        super().__init__(c=c, clip_radius=clip_radius, **kwargs)
        if clip_radius is None:
            raise ValueError("PoincareSimilarity requires a clip_radius")
        self.is_inverted = True

    def geodesic(self, gap, scale):
        distance = super().geodesic(gap, scale)
        # Rounding can put the largest distance slightly above its bound
        return torch.clamp(1 - distance / (2 * self.clip_radius), min=-1, max=1)
