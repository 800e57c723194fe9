"""The Poincare ball: exponential map, row-wise distance, lift, and the precision they need.

Conventions (docs/mathematics.md): the curvature is ``-c`` with ``c > 0``; a tangent vector ``v`` at
the origin maps to ``x = tanh(sqrt(c)|v|) v / (sqrt(c)|v|)``, so that ``d(0, x) = 2|v|``.
"""

import math
import threading
from contextlib import AbstractContextManager
from typing import Any

import torch

from .validation import check_broadcast, check_clip, check_clip_radius, check_curvature

# How far below the boundary to_poincare_ball stops, in units of the dtype's epsilon. Wide enough
# that the squared norm of the rounded coordinates stays below 1/c for thousands of dimensions.
_BOUNDARY_ULPS = 32
# The share of the clip radius at which a smoothly clipped norm counts as being there.
_SATURATED = 0.99
# Since torch 2.9 each of these has a precision of its own, which the older setting sets as well.
_MATMUL_BACKENDS: list[Any] = [
    backend
    for backend in (torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None))
    if hasattr(backend, "fp32_precision")
]


def to_poincare_ball(
    x: torch.Tensor,
    *,
    c: float,
    clip_radius: float | None = None,
    clip: str = "hard",
    riemannian_gradient: bool = False,
) -> torch.Tensor:
    """Map tangent vectors at the origin onto the Poincare ball, clipping their norms first.

    With the clipped norm rho of a vector v, ``x = tanh(sqrt(c) rho) / sqrt(c) v / |v|``: the hard
    clip is ``rho = min(|v|, r)``, the smooth one ``rho = r tanh(|v| / r)``.

    Args:
        x: (..., D) tangent vectors. Half precision is computed and returned in float32.
        c: curvature magnitude, > 0.
        clip_radius: r > 0, which bounds the clipped norms, or None for no clipping.
        clip: "hard" (default, papers), beyond whose radius a vector has no gradient along its own
            direction, or "smooth" (ours), which has one everywhere.
        riemannian_gradient: multiply the gradient that reaches ``x`` by ``((1 - c|p|^2)^2) / 4``
            for the ball point ``p``, as the HIER authors' code does: see
            :func:`with_riemannian_gradient`. Default False (our choice).

    Returns:
        (..., D) points with ``c|p|^2 < 1``. Without a clip radius, points further out than the
        dtype resolves (sqrt(c)|x| above 6.6 in float32, 16.6 in float64) are held just inside.

    Raises:
        ValueError: ``c`` or ``clip_radius`` is not a positive finite number, or ``clip`` is
            unknown, or smooth without a clip radius.

    Source: Ganea et al. 2018 (exponential map), Guo et al. 2022, arXiv 2107.11472 (hard clip); the
    smooth clip is this project's.
    """
    check_curvature(c)
    check_clip_radius(clip_radius)
    check_clip(clip, clip_radius)
    x = x.to(at_least_float32(x.dtype))
    if riemannian_gradient:
        x = with_riemannian_gradient(x, c=c, clip_radius=clip_radius, clip=clip)
    # tanh(z)/z is 1 below this, and its gradient 0.
    norm = _wide_norm(x).clamp(min=math.sqrt(torch.finfo(x.dtype).tiny))
    length = clipped_norm(norm, clip_radius=clip_radius, clip=clip) if clip == "smooth" else norm
    reach = torch.tanh(math.sqrt(c) * length.clamp(max=_largest_norm(c, clip_radius, x.dtype)))
    return (x / norm.to(x.dtype)) * (reach / math.sqrt(c)).to(x.dtype)


def with_riemannian_gradient(
    v: torch.Tensor, *, c: float, clip_radius: float | None, clip: str = "hard"
) -> torch.Tensor:
    """Tangent vectors whose gradient is rescaled by the metric of the ball at their points.

    At a point p the metric is ``4 / (1 - c|p|^2)^2`` times the Euclidean one, so a Riemannian
    gradient is ``(1 - c|p|^2)^2 / 4`` times the Euclidean gradient. As that is one number for each
    vector, it may scale the gradient to p, where HIER's code applies it, or that to v.

    Args:
        v: (..., D) tangent vectors, float32 at least.
        c, clip_radius, clip: as :func:`to_poincare_ball`.

    Returns:
        (..., D) the same values.

    Source: the code of Kim, Jeong, Kwak, CVPR 2023 (HIER).
    """
    return _RiemannianGradient.apply(v, float(c), clip_radius, clip)


def clipped_norm(norm: torch.Tensor, *, clip_radius: float | None, clip: str) -> torch.Tensor:
    """Norms of tangent vectors after the clip: ``min(|v|, r)``, or ``r tanh(|v| / r)`` if smooth.

    Args:
        norm: (...) norms >= 0.
        clip_radius, clip: as :func:`to_poincare_ball`.
    """
    if clip_radius is None:
        return norm
    if clip == "smooth":
        return clip_radius * torch.tanh(norm / clip_radius)
    return norm.clamp(max=clip_radius)


def saturation_norm(clip_radius: float, clip: str) -> float:
    """The tangent norm from which a vector counts as saturated: r, or r artanh(0.99) if smooth.

    From there on the smooth clip's norm is within 1 % of r.
    """
    return clip_radius * math.atanh(_SATURATED) if clip == "smooth" else clip_radius


def ball_scale(
    norm: torch.Tensor,
    *,
    c: float,
    clip_radius: float | None,
    dtype: torch.dtype,
    clip: str = "hard",
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the factor by which :func:`to_poincare_ball` scales a vector, slopes, and sinh^2.

    Args:
        norm: (...) norms of tangent vectors, >= 0, in float64 on devices that have it.
        c, clip_radius, clip: as to_poincare_ball; an infinite radius clips nothing either.
        dtype: the dtype of the vectors, which decides how near to the boundary points may come.

    Returns:
        s, d|x|/d|v|, |v| ds/d|v| and c|x|^2 / (1 - c|x|^2) of x = s v, all like ``norm``. The
        gradient to v of a function of x with the gradient g to x is ``s`` times the part of g
        across v plus ``d|x|/d|v|`` times the part along v. The third is the difference of the
        second and the first, which float32 could not give: far out the second vanishes beside s.
    """
    edge = _largest_norm(c, clip_radius, dtype)
    is_smooth = clip == "smooth"
    length = clipped_norm(norm, clip_radius=clip_radius, clip=clip) if is_smooth else norm
    z = math.sqrt(c) * length.clamp(max=edge)
    sinh_square = torch.sinh(z).square()
    tiny = math.sqrt(torch.finfo(dtype).tiny)
    norm, z = norm.clamp(min=tiny), z.clamp(min=math.sqrt(c) * tiny)
    tanh = torch.tanh(z)
    s = tanh / (math.sqrt(c) * norm)
    # Beyond the edge only the direction counts, and s = const / |v|.
    along = 1 / (1 + sinh_square)  # 1 - tanh^2, without its cancellation
    if is_smooth and clip_radius is not None:
        # d rho / d|v| = 1 / cosh(|v| / r)^2, in which nothing cancels either.
        along = along * torch.cosh(norm / clip_radius).square().reciprocal()
    along = along.masked_fill(length > edge, 0)
    return s, along, along - s, sinh_square


def _wide_norm(x):
    """Norms in float64 if possible, because squares of large float32 elements overflow."""
    norm_dtype = torch.float64 if has_float64(x.device) else x.dtype
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=norm_dtype)


def _largest_norm(c, clip_radius, dtype):
    """The norm at which tangent vectors are held: the clip radius, or just inside the ball."""
    edge = math.atanh(1 - _BOUNDARY_ULPS * torch.finfo(dtype).eps) / math.sqrt(c)
    return edge if clip_radius is None else min(clip_radius, edge)


def poincare_distance(x: torch.Tensor, y: torch.Tensor, *, c: float) -> torch.Tensor:
    """Geodesic distance between corresponding points of the Poincare ball, accurate at any scale.

    Computed from the direct difference in float64 (float32 on devices without float64), so that
    near-duplicates and points near the boundary keep full relative accuracy.

    Args:
        x, y: (..., D) points with ``c|x|^2 < 1``, broadcast against each other.
        c: curvature magnitude, > 0.

    Returns:
        (...) distances in the inputs' dtype, float32 at least. Coincident points give exactly 0
        and a zero gradient, points beyond the boundary NaN.

    Raises:
        ValueError: the shapes do not broadcast, or ``c`` is not a positive finite number.
    """
    check_curvature(c)
    check_broadcast("poincare_distance", x, y)
    out_dtype = at_least_float32(torch.promote_types(x.dtype, y.dtype))
    work_dtype = torch.float64 if has_float64(x.device) else out_dtype
    x, y = x.to(work_dtype), y.to(work_dtype)
    sqrt_c = math.sqrt(c)
    gap = torch.linalg.vector_norm(x - y, dim=-1)
    # A root of each: that of the product would give two points beyond the boundary a distance.
    conformal = (1 - c * x.square().sum(-1)).sqrt() * (1 - c * y.square().sum(-1)).sqrt()
    return ((2 / sqrt_c) * torch.asinh(sqrt_c * gap / conformal)).to(out_dtype)


def lorentz_lift(x: torch.Tensor, *, c: float) -> torch.Tensor:
    """Lift ball points to the hyperboloid, where hyperbolic search is inner-product search.

    With ``X = lorentz_lift(x)`` and ``Y = lorentz_lift(y)``:
    ``cosh(sqrt(c) d(x, y)) = X[0] Y[0] - <X[1:], Y[1:]>``.

    Args:
        x: (N, D) points with ``c|x|^2 < 1``.
        c: curvature magnitude, > 0.

    Returns:
        (N, D + 1) float64: the time-like coordinate first.

    Raises:
        ValueError: ``x`` is not 2-D, or ``c`` is not positive and finite.
    """
    check_curvature(c)
    if x.ndim != 2:
        raise ValueError(f"lorentz_lift takes points of shape (N, D), got {tuple(x.shape)}")
    x = x.double()
    square = c * x.square().sum(1, keepdim=True)
    return torch.cat([1 + square, 2 * math.sqrt(c) * x], dim=1) / (1 - square)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which hyperbolic quantities of such inputs are computed."""
    return torch.promote_types(dtype, torch.float32)


def has_float64(device: torch.device) -> bool:
    """Whether tensors on this device can be float64 (Apple's mps cannot)."""
    return device.type != "mps"


def full_precision(x: torch.Tensor) -> AbstractContextManager:
    """A context in which nothing lowers the precision of operations on tensors like ``x``.

    Any surrounding autocast is off for the device of ``x``, and products of float32 matrices are
    computed in float32 whatever ``torch.set_float32_matmul_precision``,
    ``torch.backends.cuda.matmul.allow_tf32`` or ``fp32_precision`` allow: TF32 keeps ten bits of a
    coordinate, with which every small distance would be wrong. The settings are restored at the
    end, also after an exception.

    Under ``torch.compile`` only autocast is off, because a graph cannot hold the setting: compiled
    products take the precision that is set when they run.
    """
    without_autocast = torch.autocast(device_type=x.device.type, enabled=False)
    if torch.compiler.is_compiling():
        return without_autocast
    return _FullPrecision(without_autocast)


class _FullPrecision:
    """Autocast off and full float32 products, entered and left together."""

    def __init__(self, without_autocast):
        self._without_autocast = without_autocast

    def __enter__(self):
        _FULL_FLOAT32_PRODUCTS.enter()
        self._without_autocast.__enter__()

    def __exit__(self, *exception):
        try:
            self._without_autocast.__exit__(*exception)
        finally:
            _FULL_FLOAT32_PRODUCTS.leave()


class _FullFloat32Products:
    """Keeps products of float32 matrices in float32 while any thread is inside.

    torch holds this setting once for the process, and the backward passes of several devices run in
    threads of their own: whoever enters first lifts it, whoever leaves last restores it.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0
        self._restore = None

    def enter(self):
        with self._lock:
            if not self._inside:
                self._restore = _lift_matmul_precision()
            self._inside += 1

    def leave(self):
        with self._lock:
            self._inside -= 1
            if not self._inside and self._restore is not None:
                self._restore()


_FULL_FLOAT32_PRODUCTS = _FullFloat32Products()


def _lift_matmul_precision():
    """Set full float32 products; returns a function that undoes it, or None if they were set."""
    before = [backend.fp32_precision for backend in _MATMUL_BACKENDS]
    if before and all(precision in ("none", "ieee") for precision in before):
        return None
    try:
        general = torch.get_float32_matmul_precision()
    except RuntimeError:  # the process uses both settings, and they differ
        general = None
    if not before and general == "highest":
        return None
    torch.set_float32_matmul_precision("highest")

    def restore():
        if general is not None:
            torch.set_float32_matmul_precision(general)
        for backend, precision in zip(_MATMUL_BACKENDS, before, strict=True):
            # "none" inherits from a setting for all operations: only if that is another, set it.
            backend.fp32_precision = "none"
            if backend.fp32_precision != precision:
                backend.fp32_precision = precision

    return restore


class _RiemannianGradient(torch.autograd.Function):
    """Identity whose gradient is divided by the metric at the ball points of tangent vectors."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v, c, clip_radius, clip):
        return v.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        v, ctx.c, ctx.clip_radius, ctx.clip = inputs
        ctx.save_for_backward(v)

    @staticmethod
    def backward(ctx, grad):
        (v,) = ctx.saved_tensors
        ball = {"c": ctx.c, "clip_radius": ctx.clip_radius, "clip": ctx.clip}
        *_, sinh_square = ball_scale(_wide_norm(v), dtype=v.dtype, **ball)
        # 1 - c|p|^2 = 1 / (1 + sinh^2).
        metric = (2 * (1 + sinh_square)).square()
        return grad * metric.reciprocal().to(grad.dtype), None, None, None
