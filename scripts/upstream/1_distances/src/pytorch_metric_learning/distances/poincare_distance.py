import math

import torch

from .base_distance import BaseDistance


class PoincareDistance(BaseDistance):
    """
    Geodesic distance on the Poincare ball of curvature -c, as used in
    https://arxiv.org/abs/2203.10833

    Embeddings are tangent vectors at the origin, i.e. ordinary outputs of a network.
    Their norms are clipped to clip_radius (https://arxiv.org/abs/2107.11472), and
    the exponential map then takes them onto the ball. The weights of proxy losses
    are mapped in the same way.
    """

    def __init__(self, c=0.1, clip_radius=2.3, **kwargs):
        # L2 normalization would destroy the radius. See maybe_normalize
        super().__init__(normalize_embeddings=False, **kwargs)
        assert self.p == 2
        assert not self.is_inverted
        if c <= 0 or (clip_radius is not None and clip_radius <= 0):
            raise ValueError("c and clip_radius must be greater than 0")
        self.c = c
        self.clip_radius = clip_radius
        self.add_to_recordable_attributes(name="c", is_stat=False)

    # BaseDistance.forward calls this on queries and references
    def maybe_normalize(self, embeddings, dim=1, **kwargs):
        """
        Maps tangent vectors onto the ball. Computed in float32 or float64
        """
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        embeddings = embeddings.to(dtype)
        norm = self.get_norm(embeddings, dim=dim, keepdim=True)
        norm = norm.clamp(min=math.sqrt(torch.finfo(dtype).tiny))
        z = math.sqrt(self.c) * norm.clamp(max=self.largest_norm(dtype))
        return embeddings * (torch.tanh(z) / (math.sqrt(self.c) * norm))

    def compute_mat(self, query_emb, ref_emb):
        # One matrix product. It is computed in float64, because
        # |x|^2 + |y|^2 - 2<x,y> cancels for points that are close together
        gap = torch.cdist(query_emb.double(), ref_emb.double()).to(query_emb.dtype)
        scale = self.ball_scale(query_emb).unsqueeze(1) * self.ball_scale(ref_emb)
        return self.geodesic(gap, scale)

    def pairwise_distance(self, query_emb, ref_emb):
        query_emb = self.maybe_normalize(query_emb, dim=-1)
        ref_emb = self.maybe_normalize(ref_emb, dim=-1)
        gap = self.get_norm(query_emb - ref_emb, dim=-1)
        scale = self.ball_scale(query_emb) * self.ball_scale(ref_emb)
        return self.geodesic(gap, scale)

    def geodesic(self, gap, scale):
        sqrt_c = math.sqrt(self.c)
        return (2 / sqrt_c) * torch.asinh(sqrt_c * gap * scale)

    def ball_scale(self, points):
        return (1 - self.c * torch.sum(points**2, dim=-1)) ** -0.5

    def largest_norm(self, dtype):
        # Beyond this, rounding could put points onto the boundary
        edge = math.atanh(1 - 32 * torch.finfo(dtype).eps) / math.sqrt(self.c)
        return edge if self.clip_radius is None else min(self.clip_radius, edge)
