"""check_optimizer_coverage: exactly one optimizer updates each trainable parameter."""

from collections.abc import Mapping

import torch


def check_optimizer_coverage(
    modules: Mapping[str, torch.nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Raise unless exactly one optimizer updates each trainable parameter.

    PML's trainers start silently when the proxies of a loss are in no optimizer.

    Args:
        modules: name -> module, both models and losses.
        optimizers: name -> optimizer.

    Raises:
        ValueError: names the parameters and, if there are two, their optimizers.
    """
    owners: dict[int, list[str]] = {}
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                owners.setdefault(id(parameter), []).append(name)
    trainable = {
        id(parameter): (f"{name}.{path}", owners.get(id(parameter), []))
        for name, module in modules.items()
        for path, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    forgotten = [path for path, names in trainable.values() if not names]
    if forgotten:
        raise ValueError(
            f"{_some(forgotten)} in no optimizer and would never be trained: add an optimizer for "
            f"them (PML's key is {forgotten[0].split('.')[0]}_optimizer) or set "
            f"requires_grad=False"
        )
    shared = [f"{path} ({' and '.join(names)})" for path, names in trainable.values() if names[1:]]
    if shared:
        raise ValueError(f"{_some(shared)} in two optimizers: keep each parameter in only one")


def _some(names):
    shown = ", ".join(names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{shown}{more} {'is' if len(names) == 1 else 'are'}"
