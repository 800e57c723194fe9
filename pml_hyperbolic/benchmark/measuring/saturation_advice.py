"""Advice against clip saturation that depends on what a method and its protocol set."""

import math

from ...distances import PoincareDistance
from ..config import HeadConfig, MethodConfig, ProtocolConfig


def starts_inside(head: HeadConfig, size: int, distance: PoincareDistance | None) -> bool | None:
    """Return whether a head starts with tangent norms that the clip does not saturate.

    Args:
        head: of the method. Without an ``initial_radius``, its tangent norms start near
            ``sqrt(size)``.
        size: of the tangent vectors, or of the trunk's output where that is smaller.
        distance: with the clip radius, None without a hyperbolic space.

    Returns:
        None where nothing is clipped, and where a head without LayerNorm keeps the norms of the
        trunk's features, which are not known.
    """
    limit = None if distance is None else distance.saturation_norm
    if limit is None or not head.layer_norm:
        return None
    return (head.initial_radius or math.sqrt(size)) < limit


def saturation_advice(
    method: MethodConfig, protocol: ProtocolConfig, *, inside: bool | None
) -> dict[str, str]:
    """Return what lets the radii differ again: of "embeddings" and of "proxies".

    Args:
        method: whose points are all at the clip radius.
        protocol: of the benchmark.
        inside: whether its head starts inside the clip radius, as :func:`starts_inside` says.
    """
    rate = method.rates(protocol.optimizer).head_lr
    place = "protocol.optimizer" if method.head_lr is None else "the method's"
    place += "." if method.head_lr is None else " "
    if not method.head.layer_norm:
        embeddings = (
            "set the method's head.layer_norm to true and its head.initial_radius to about a "
            "quarter of the clip radius"
        )
    elif not inside and method.head.initial_radius is None:
        embeddings = "set the method's head.initial_radius to about a quarter of the clip radius"
    elif not inside:
        embeddings = (
            f"lower the method's head.initial_radius ({method.head.initial_radius:g}) to about "
            "a quarter of the clip radius"
        )
    else:
        embeddings = (
            f"the head starts inside the clip radius and has grown out of it: lower "
            f"{place}head_lr ({rate:g})"
        )
    regularized = method.regularizer is not None and method.regularizer.lr is not None
    key, proxy_rate = (
        ("regularizer.lr", method.regularizer.lr)
        if regularized and method.regularizer is not None
        else ("loss_lr", method.loss_lr)
    )
    value = "" if proxy_rate is None else f" ({proxy_rate:g})"
    return {
        "embeddings": embeddings,
        "proxies": f"lower the method's {key}{value}",
    }
