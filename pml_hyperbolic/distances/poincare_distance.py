"""PoincareDistance: geodesic distance on the Poincare ball for any PML loss, miner or tester."""

import math
from typing import TYPE_CHECKING, Any

import torch
from pytorch_metric_learning.distances import BaseDistance

from .._pml import RecordsMixin
from ..functional.pairwise import poincare_cdist, tangent_cdist
from ..functional.poincare import (
    at_least_float32,
    clipped_norm,
    full_precision,
    poincare_distance,
    saturation_norm,
    to_poincare_ball,
)
from ..functional.validation import (
    check_broadcast,
    check_clip,
    check_clip_radius,
    check_curvature,
    check_finite,
    check_flag,
    check_positive,
    is_readable,
)

if TYPE_CHECKING:
    import geoopt

# Statistics: the mean norms that BaseDistance of PML 2 records, and what is at the clip radius.
_NORMS = (
    "initial_avg_query_norm",
    "initial_avg_ref_norm",
    "final_avg_query_norm",
    "final_avg_ref_norm",
)
_CLIPPED = ("clipped_query_fraction", "clipped_ref_fraction")


class PoincareDistance(RecordsMixin, BaseDistance):
    """Geodesic distance on the Poincare ball of curvature ``-c``.

    Takes ordinary vectors, as a network's last layer or a proxy parameter holds them: tangent
    vectors at the origin, which it clips and maps onto the ball itself, queries and references
    alike. This object owns the curvature: give the same one to losses, kNN, k-means and testers.

    Args:
        c: curvature magnitude, > 0. Default 0.1 (Hyp, HIER).
        clip_radius: r > 0, which bounds the norms of tangent vectors, so that every distance is at
            most ``4 * clip_radius``; None clips nothing. Default 2.3 (Hyp, HIER).
        inputs: "tangent" (default), or "ball" for points that already lie on the ball; those are
            neither clipped nor mapped, only checked.
        clip: "hard" (default; Hyp, HIER) scales longer vectors down to r, after which they have no
            gradient along their own direction; "smooth" (ours) gives every vector v the norm
            ``r tanh(|v| / r)``, which keeps one.
        riemannian_gradient: multiply the gradient that reaches a tangent vector by
            ``(1 - c|x|^2)^2 / 4`` of its ball point x, the inverse metric, as HIER's code does. It
            changes no distance. Default False (our choice).
        power: raise distances to this power, as in PML. Default 1.
        collect_stats: record statistics (mean norms before and after mapping, and the clipped
            fractions of queries and references), as in PML.

    Shapes: embeddings (N, D), distances (N, M) in float32 at least, whatever autocast says.
    ``forward(x, x)`` with one tensor is ``forward(x)``: its diagonal is exactly 0.

    The geometry (c, clip_radius, clip, inputs) travels with the ``state_dict`` of any loss that
    holds this object, as one tensor under the key ``_extra_state``. States of earlier versions,
    which lack it, are loaded as they were.

    Raises:
        ValueError: an argument is out of range; at ``load_state_dict``, the state is of another
            geometry; at call time, if embeddings are not 2-D, not finite, or, with
            ``inputs="ball"``, not inside the ball. Values are checked on the CPU only (on CUDA a
            check would make the host wait for the device), and neither in ``torch.compile`` nor
            inside transforms of ``torch.func``.

    Source: Ermolov et al., CVPR 2022 (Hyp); Guo et al. 2022, arXiv 2107.11472 (hard clip).
    """

    # Arguments of BaseDistance that have no meaning on the ball; listings leave them out.
    refused_arguments = ("normalize_embeddings", "p", "is_inverted")
    # Whether forward may map and measure in one step, without holding the mapped points. A subclass
    # that defines a hook of its own for either is asked for both.
    _is_fused = True

    def __init__(
        self,
        c: float = 0.1,
        clip_radius: float | None = 2.3,
        inputs: str = "tangent",
        clip: str = "hard",
        riemannian_gradient: bool = False,
        **kwargs,
    ):
        check_curvature(c)
        check_clip_radius(clip_radius)
        check_clip(clip, clip_radius)
        if inputs not in ("tangent", "ball"):
            raise ValueError(f'inputs must be "tangent" or "ball", got {inputs!r}')
        name = type(self).__name__
        if check_flag(name, "riemannian_gradient", riemannian_gradient) and inputs == "ball":
            raise ValueError(
                f'{name} needs inputs="tangent" for riemannian_gradient=True, which rescales the '
                f"gradient of tangent vectors: leave it out for points on the ball"
            )
        if clip == "smooth" and inputs == "ball":
            raise ValueError(
                f'{name} needs inputs="tangent" for clip="smooth", because points on the ball are '
                f"not clipped: leave it out for these"
            )
        self._refuse_base_arguments(kwargs)
        power = kwargs.get("power", 1)
        check_positive(name, power=power)
        super().__init__(normalize_embeddings=False, **kwargs)
        self.power = power
        self.c = float(c)
        self.clip_radius = None if clip_radius is None else float(clip_radius)
        self.inputs = inputs
        self.clip = clip
        self.riemannian_gradient = riemannian_gradient
        # A record holds numbers: without a clip radius only the curvature is recorded.
        recorded = ["c"] if clip_radius is None else ["c", "clip_radius"]
        self.add_to_recordable_attributes(list_of_names=recorded, is_stat=False)
        self.add_to_recordable_attributes(list_of_names=[*_NORMS, *_CLIPPED], is_stat=True)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        hooks = ("compute_mat", "maybe_normalize", "to_ball")
        cls._is_fused = all(getattr(cls, h) is getattr(PoincareDistance, h) for h in hooks)

    def forward(self, query_emb: torch.Tensor, ref_emb: torch.Tensor | None = None) -> torch.Tensor:
        """(N, M) matrix between queries (N, D) and references (M, D), default the queries."""
        ref_emb = None if ref_emb is query_emb else ref_emb
        # Statistics are of mapped points, so these must be held.
        if self._is_fused and self.inputs == "tangent" and not self.collect_stats:
            return self._map_and_measure(query_emb, ref_emb)
        with full_precision(query_emb):
            return self._map_then_measure(query_emb, ref_emb)

    def _map_then_measure(self, query_emb, ref_emb):
        """Map all embeddings and measure between the points, each by its hook."""
        self.check_shapes(query_emb, ref_emb)
        queries = self.maybe_normalize(query_emb)
        references = queries if ref_emb is None else self.maybe_normalize(ref_emb)
        raw_references = query_emb if ref_emb is None else ref_emb
        self.set_default_stats(query_emb, raw_references, queries, references)
        return self._powered(self.compute_mat(queries, references))

    def _map_and_measure(self, query_emb, ref_emb):
        """The same with the hooks of this class, in one step."""
        self.check_shapes(query_emb, ref_emb)
        references = query_emb if ref_emb is None else ref_emb
        if query_emb.shape[1] != references.shape[1]:
            raise ValueError(
                f"{type(self).__name__} takes (N, D) queries and (M, D) references, got "
                f"{tuple(query_emb.shape)} and {tuple(references.shape)}"
            )
        check_finite(type(self).__name__, query_emb)
        if ref_emb is not None:
            check_finite(type(self).__name__, ref_emb)
        geodesics = tangent_cdist(query_emb, references, **self.mapping())
        return self._powered(self.from_geodesic(geodesics))

    def pairwise_distance(self, query_emb: torch.Tensor, ref_emb: torch.Tensor) -> torch.Tensor:
        """Values between corresponding rows of two raw tensors.

        Args:
            query_emb, ref_emb: (N, D), (1, D) or (D,), broadcast against each other as PML's
                LpDistance does.

        Returns:
            (N,) values, or a scalar for two vectors (D,).

        Raises:
            ValueError: the shapes do not broadcast, or :meth:`to_ball` refuses a value.
        """
        check_broadcast(f"{type(self).__name__}.pairwise_distance", query_emb, ref_emb)
        if max(query_emb.ndim, ref_emb.ndim) > 2:
            raise ValueError(
                f"{type(self).__name__}.pairwise_distance takes rows of shape (N, D) or (D,), "
                f"got {tuple(query_emb.shape)} and {tuple(ref_emb.shape)}"
            )
        with full_precision(query_emb):
            geodesics = poincare_distance(self.to_ball(query_emb), self.to_ball(ref_emb), c=self.c)
            return self._powered(self.from_geodesic(geodesics))

    def compute_mat(
        self, query_emb: torch.Tensor, ref_emb: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(N, M) matrix between points that :meth:`to_ball` has mapped."""
        ref_emb = query_emb if ref_emb is None else ref_emb
        return self.from_geodesic(poincare_cdist(query_emb, ref_emb, c=self.c))

    def from_geodesic(self, distances: torch.Tensor) -> torch.Tensor:
        """Turn geodesic distances into the values of this object: here, they are those values."""
        return distances

    def to_ball(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Map raw embeddings (..., D) onto the ball, in float32 at least.

        Raises:
            ValueError: a value is NaN or infinite, or with ``inputs="ball"`` a point lies on or
                outside the boundary. Checked where the class says that values are checked.
        """
        check_finite(type(self).__name__, embeddings)
        if self.inputs == "tangent":
            return to_poincare_ball(embeddings, **self.mapping())
        embeddings = embeddings.to(at_least_float32(embeddings.dtype))
        if is_readable(embeddings) and embeddings.numel():
            largest = float(embeddings.detach().square().sum(-1).amax())
            if self.c * largest >= 1:
                raise ValueError(
                    f'inputs="ball" needs points of norm below 1/sqrt(c) = '
                    f"{1 / math.sqrt(self.c):.6g}, got a norm of {math.sqrt(largest):.6g}: "
                    f'use inputs="tangent" for plain network outputs'
                )
        return embeddings

    def maybe_normalize(self, embeddings: torch.Tensor, dim: int = 1, **kwargs) -> torch.Tensor:
        """Map raw embeddings (N, D) onto the ball, at BaseDistance's hook for normalization."""
        if dim not in (1, -1) or embeddings.ndim != 2:
            raise ValueError(
                f"{type(self).__name__} maps rows of a 2-D tensor, "
                f"got shape {tuple(embeddings.shape)} and dim={dim}"
            )
        return self.to_ball(embeddings)

    def mapping(self) -> dict[str, Any]:
        """How tangent vectors are mapped, as arguments of the functions that do it."""
        names = ("c", "clip_radius", "clip", "riemannian_gradient")
        return {name: getattr(self, name) for name in names}

    def clipped_norm(self, norms: torch.Tensor) -> torch.Tensor:
        """Norms (...) of tangent vectors after the clip, half the distances from the origin."""
        return clipped_norm(norms, clip_radius=self.clip_radius, clip=self.clip)

    @property
    def saturation_norm(self) -> float | None:
        """The norm from which a tangent vector counts as saturated, None if nothing is clipped.

        It is the clip radius. For the smooth clip it is 2.65 times that, from where on the clipped
        norm is within 1 % of it.
        """
        if self.inputs == "ball" or self.clip_radius is None:
            return None
        return saturation_norm(self.clip_radius, self.clip)

    def clip_saturation(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the fraction of raw embeddings (N, D) at or beyond the clip radius, detached.

        At 1.0 all points lie on one sphere and hyperbolic ranking equals cosine ranking. It is 0
        if nothing is clipped (no clip radius, or ``inputs="ball"``). Where the clip is smooth, a
        clipped norm counts as being at the radius if it is within 1 % of it.
        """
        limit = self.saturation_norm
        if limit is None or len(embeddings) == 0:
            return torch.zeros((), device=embeddings.device)
        norms = torch.linalg.vector_norm(embeddings.detach().float(), dim=-1)
        return (norms >= limit).float().mean()

    @property
    def initial_radius(self) -> float:
        """Tangent norm at which proxies start: 0.9 of the clip radius, as HIER's code does.

        Without a clip radius, 0.9 of the radius at which c = 0.1 is clipped by default, scaled to
        this curvature (our choice).
        """
        radius = self.clip_radius
        return 0.9 * (2.3 * math.sqrt(0.1 / self.c) if radius is None else radius)

    @property
    def manifold(self) -> "geoopt.PoincareBall":
        """A new geoopt.PoincareBall of this curvature in float64, for geoopt's optimizers.

        It is never registered as a submodule, because geoopt keeps c as a frozen parameter, which
        would appear in every loss's ``parameters()``.
        """
        import geoopt

        return geoopt.PoincareBall(c=torch.tensor(self.c, dtype=torch.float64))

    def get_extra_state(self) -> torch.Tensor:
        """The geometry as a tensor (4,) float64, which joins the ``state_dict``.

        It holds c, the clip radius (infinity for none), and 1 or 0 for a smooth clip and for
        inputs on the ball. A tensor on the CPU, whatever the default device, because other tools
        that copy and save states expect tensors.
        """
        radius = math.inf if self.clip_radius is None else self.clip_radius
        values = [self.c, radius, self.clip == "smooth", self.inputs == "ball"]
        return torch.tensor(values, dtype=torch.float64, device="cpu")

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Refuse the geometry of a loaded ``state_dict`` if it is not this object's.

        Args:
            state: what :meth:`get_extra_state` returned, in any floating-point precision.

        Raises:
            ValueError: it is another geometry, or none.
        """
        own, name = self.get_extra_state(), type(self).__name__
        if not (torch.is_tensor(state) and state.is_floating_point() and state.shape == own.shape):
            raise ValueError(
                f"{name} needs its geometry in the state, a tensor of {len(own)} numbers, got "
                f"{' '.join(repr(state).split()):.80}: save the state again, or remove the keys "
                f"that end in _extra_state to load its weights unchecked"
            )
        # The state may have been saved in fewer bits.
        here, there = _settings(own.to(state.dtype)), _settings(state)
        here, there = (
            ", ".join(f"{key}={known[key]!r}" for key in known if here[key] != there[key])
            for known in (here, there)
        )
        if here:
            raise ValueError(
                f"{name} has {here}, but the state to load is of {there}: build it with {there}, "
                f"or remove the keys that end in _extra_state from the state to use its weights "
                f"with {here}"
            )

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, *args):
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, *args)
        # States of earlier versions have no geometry.
        missing[:] = [key for key in missing if key != f"{prefix}_extra_state"]

    def set_default_stats(
        self,
        query_emb: torch.Tensor,
        ref_emb: torch.Tensor,
        query_emb_normalized: torch.Tensor,
        ref_emb_normalized: torch.Tensor,
    ) -> None:
        """Record the mean norms, as BaseDistance of PML 2, and the fractions at the clip radius."""
        if not self.collect_stats:
            return
        vectors = (query_emb, ref_emb, query_emb_normalized, ref_emb_normalized)
        for name, rows in zip(_NORMS, vectors, strict=True):
            setattr(self, name, torch.linalg.vector_norm(rows.detach(), dim=1).mean().item())
        for name, rows in zip(_CLIPPED, (query_emb, ref_emb), strict=True):
            setattr(self, name, self.clip_saturation(rows).item())

    def check_shapes(self, query_emb: torch.Tensor, ref_emb: torch.Tensor | None) -> None:
        """Raise ValueError unless queries and references are 2-D."""
        for rows in (query_emb, ref_emb):
            if rows is not None and rows.ndim != 2:
                raise ValueError(
                    f"{type(self).__name__} takes embeddings as a 2D tensor (N, D), got shape "
                    f"{tuple(rows.shape)}: give one row for each of them"
                )

    def _refuse_base_arguments(self, kwargs):
        name = type(self).__name__
        if "normalize_embeddings" in kwargs:
            raise ValueError(
                f"{name} takes no normalize_embeddings= (L2 normalisation would destroy the "
                f'radius): use inputs="tangent" for network outputs or inputs="ball" for points on '
                f"the ball"
            )
        for argument in self.refused_arguments:
            if argument in kwargs:
                raise ValueError(
                    f"{name} takes no {argument}=: its geometry determines it, leave it out"
                )

    def _powered(self, values):
        return values if self.power == 1 else values**self.power

    def extra_repr(self) -> str:
        text = f"c={self.c:g}, clip_radius={self.clip_radius}, inputs={self.inputs!r}"
        for name, default in (("clip", "hard"), ("riemannian_gradient", False)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text


def _settings(state):
    """The arguments that a geometry (4,) stands for, to the decimal digits that its dtype holds."""
    digits = round(-math.log10(torch.finfo(state.dtype).resolution))
    c, radius, is_smooth, is_ball = (float(f"{value:.{digits}g}") for value in state.tolist())
    return {
        "c": c,
        "clip_radius": None if math.isinf(radius) else radius,
        "clip": "smooth" if is_smooth else "hard",
        "inputs": "ball" if is_ball else "tangent",
    }
