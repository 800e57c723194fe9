"""Objective: the loss of a method, its miner, and the learning rates of its parameters."""

import inspect
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_metric_learning.losses import MultipleLosses

from ...distances import PoincareDistance
from ...errors import InputError, message_of
from ...functional.class_ancestors import class_ancestors
from ..config import MethodConfig
from .registry import REGISTRY, accepted_arguments, build, find

# Arguments of losses, regularizers and miners that the protocol determines, and never a config.
PROTOCOL_ARGUMENTS = (
    "num_classes",
    "embedding_size",
    "euclidean_size",
    "hyperbolic_size",
    "ancestors",
)


@dataclass(frozen=True)
class Objective:
    """What a method minimizes.

    Attributes:
        loss: a PML loss, called with (embeddings, labels, indices_tuple).
        parameter_groups: for a torch optimizer; empty if the loss has no parameters.
        miner: a PML miner, or None.
        distance: the PoincareDistance that owns the curvature of the method, or None.
    """

    loss: torch.nn.Module
    parameter_groups: list[dict]
    miner: torch.nn.Module | None
    distance: PoincareDistance | None

    def check(self, name: str, embeddings: torch.Tensor, labels: torch.Tensor) -> None:
        """Compute the loss and its gradient once.

        Args:
            name: of the method, for messages.
            embeddings: (N, D), such as random ones.
            labels: (N,).

        Raises:
            InputError: the miner or the loss fails, for whatever reason.
        """
        embeddings = embeddings.detach().requires_grad_()
        try:
            mined = None if self.miner is None else self.miner(embeddings.detach(), labels)
            self.loss(embeddings, labels, mined).backward()
        # PML's losses use assertions and unchecked look-ups.
        except Exception as error:
            reason = message_of(error)
            raise InputError(
                f"{name}: its loss fails on a batch of random embeddings: {reason} (change the "
                f"arguments of its loss, regularizer or miner, or the sizes of batches)"
            ) from error


def build_objective(
    method: MethodConfig,
    *,
    where: str,
    num_classes: int,
    sizes: dict[str, int],
    labels: np.ndarray,
) -> Objective:
    """Build the objective that a method's config describes.

    Args:
        method: its config.
        where: the name of the method, for messages.
        num_classes: number of training classes.
        sizes: dimension of each space, in the order of the embedding.
        labels: (N, L) of the training samples, with classes numbered from 0, for losses of
            several levels.

    Raises:
        InputError: the parts do not fit together; the message names the key and how to fix it.
    """
    fill = {
        "num_classes": num_classes,
        "embedding_size": sum(sizes.values()),
        **{f"{space}_size": size for space, size in sizes.items()},
    }
    if _has_levels(method, where):
        fill["ancestors"] = _ancestors(labels, where)
    _check_spaces(method, where, sizes)
    added, objects, regularizer = _second_term(method, where, fill, sizes)
    loss = build("loss", method.loss, where=f"{where}: loss", fill=fill, objects=objects)
    groups = _parameter_groups(method, where, loss, regularizer)
    if added and method.regularizer is not None:
        loss = MultipleLosses([loss, regularizer], weights=[1, method.regularizer.weight])
    miner = None
    if method.miner is not None:
        miner = build("miner", method.miner, where=f"{where}: miner", fill=fill)
    return Objective(loss, groups, miner, _curvature_owner(where, loss, miner, sizes))


def _has_levels(method, where):
    """Whether a term of the objective is a loss of several levels."""
    terms = [("loss", next(iter(method.loss)))]
    if method.regularizer is not None:
        name = next(iter(method.regularizer.use))
        terms += [("loss", name)] if name in REGISTRY["loss"] else []
    return any(
        "ancestors" in accepted_arguments(find(kind, name, f"{where}: {kind}"))
        for kind, name in terms
    )


def _ancestors(labels, where):
    try:
        return class_ancestors(torch.from_numpy(labels))
    except ValueError as error:
        raise InputError(f"{where}: its loss has several levels, but {error}") from None


def _check_spaces(method, where, sizes):
    name = next(iter(method.loss))
    takes = accepted_arguments(find("loss", name, f"{where}: loss"))
    needed = [space for space in ("euclidean", "hyperbolic") if f"{space}_size" in takes]
    if needed and set(needed) != set(sizes):
        raise InputError(
            f"{where}: {name} trains the spaces {' and '.join(needed)}: "
            f"set head.spaces: [{', '.join(needed)}]"
        )
    if needed and list(sizes) != needed:
        raise InputError(f"{where}: {name} needs head.spaces: [{', '.join(needed)}], in this order")
    if not needed and len(sizes) > 1:
        raise InputError(
            f"{where}: {name} trains a single space, but head.spaces is {list(sizes)}: keep one"
        )


def _second_term(method, where, fill, sizes):
    """Build the second term.

    Returns:
        Whether it is a loss to be added to the first one, arguments for the first loss, and the
        term itself.
    """
    if method.regularizer is None:
        return False, {}, None
    config, place = method.regularizer, f"{where}: regularizer"
    name = next(iter(config.use))
    kind = "loss" if name in REGISTRY["loss"] else "regularizer"
    takes = accepted_arguments(find(kind, name, place))
    if len(sizes) > 1 and "embedding_size" in takes:
        raise InputError(
            f"{place}: {name} has one geometry, but head.spaces is {list(sizes)}: keep one space, "
            f"or leave the regularizer out"
        )
    if kind == "loss":
        if config.on is not None:
            raise InputError(
                f"{place}: {name} is a loss, which takes embeddings and labels: leave `on` out"
            )
        return True, {}, build("loss", config.use, where=place, fill=fill)
    if config.on is None:
        raise InputError(
            f"{place}: say what {name} regularizes: `on: embeddings`, or `on: weights` for the "
            f"proxies of the loss"
        )
    first = next(iter(method.loss))
    first_class = find("loss", first, f"{where}: loss")
    slot = config.on.removesuffix("s")
    if f"{slot}_regularizer" not in accepted_arguments(first_class):
        raise InputError(
            f"{place}: {first} has no {config.on} to regularize: leave the regularizer out, or "
            f"choose another loss"
        )
    centers = _centers_per_class(first_class, method.loss[first])
    term = build("regularizer", config.use, where=place, fill={**fill, **centers})
    return False, {f"{slot}_regularizer": term, f"{slot}_reg_weight": config.weight}, term


def _centers_per_class(cls, arguments):
    """Return centers_per_class of the loss, which a regularizer of its centers must have too."""
    name = "centers_per_class"
    default = inspect.signature(cls).parameters.get(name)
    if default is None:
        return {}
    return {name: arguments.get(name, default.default)}


def _parameter_groups(method, where, loss, regularizer):
    theirs = [] if regularizer is None else list(regularizer.parameters())
    known = {id(p) for p in theirs}
    own = [p for p in loss.parameters() if id(p) not in known]
    config = method.regularizer
    their_lr = None if config is None else config.lr or method.loss_lr
    if config is not None and config.lr is not None and not theirs:
        raise InputError(
            f"{where}: regularizer.lr: the regularizer has no parameters: leave it out"
        )
    if method.loss_lr is not None and not own and (not theirs or config.lr is not None):
        raise InputError(f"{where}: loss_lr: the loss has no parameters of its own: leave it out")
    groups = []
    for parameters, rate, key in (
        (own, method.loss_lr, "loss_lr"),
        (theirs, their_lr, "regularizer.lr"),
    ):
        if not parameters:
            continue
        if rate is None:
            raise InputError(
                f"{where}: {key} is required: its {sum(p.numel() for p in parameters)} parameters "
                f"need a learning rate of their own, add it"
            )
        groups.append({"params": parameters, "lr": rate, "weight_decay": method.loss_weight_decay})
    if method.loss_weight_decay and not groups:
        raise InputError(
            f"{where}: loss_weight_decay: the loss has no parameters of its own: leave it out"
        )
    return groups


def _curvature_owner(where, loss, miner, sizes):
    found = _poincare_distances(loss)
    everywhere = found + ([] if miner is None else _poincare_distances(miner))
    kinds = {(m.c, m.clip_radius, m.clip, m.inputs) for m in everywhere}
    if "hyperbolic" not in sizes:
        if everywhere:
            raise InputError(
                f"{where}: it trains with {type(everywhere[0]).__name__}, but head.spaces is "
                f"{list(sizes)}, which is ranked by cosine: set head.spaces: [hyperbolic]"
            )
        return None
    if not found:
        raise InputError(
            f"{where}: head.spaces has hyperbolic, but neither loss nor regularizer has a "
            f"PoincareDistance whose curvature could be used for ranking: use one, or remove the "
            f"space"
        )
    if len(kinds) > 1:
        raise InputError(
            f"{where}: its hyperbolic distances disagree, (c, clip_radius, clip, inputs) = "
            f"{' and '.join(str(kind) for kind in sorted(kinds, key=str))}: a method has one "
            f"curvature, so give all of them the same"
        )
    return found[0]


def _poincare_distances(module):
    return [m for m in module.modules() if isinstance(m, PoincareDistance)]
