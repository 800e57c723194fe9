"""The state of training, from which a resumed run equals an uninterrupted one bit for bit."""

import random
from typing import Any, cast

import numpy as np
import torch

_PARTS = ("models", "loss_funcs", "mining_funcs", "optimizers", "lr_schedulers")
_MODULES = ("loss_funcs", "mining_funcs")


def training_state(trainer) -> dict[str, Any]:
    """Return the state of a trainer between two epochs, as tensors and plain data.

    Args:
        trainer: a :class:`MetricLossOnly` with a :class:`ClassSampler` and a dataset whose
            ``generator`` draws the augmentation.
    """
    return {
        "epoch": trainer.epoch,
        **{
            kind: {name: part.state_dict() for name, part in getattr(trainer, kind).items()}
            for kind in _PARTS
        },
        "attributes": {
            kind: {name: _attributes(part) for name, part in getattr(trainer, kind).items()}
            for kind in _MODULES
        },
        "scaler": trainer.scaler.state_dict(),
        "sampler": trainer.sampler.state(),
        "augmentation": trainer.dataset.generator.get_state(),
        "random": _random_state(torch.device(trainer.data_device)),
    }


def restore_training(trainer, state: dict[str, Any]) -> None:
    """Restore a :func:`training_state` into a trainer that was built the same way.

    Raises:
        RuntimeError, KeyError, ValueError: the state is of another trainer.
    """
    for kind in _PARTS:
        for name, part in getattr(trainer, kind).items():
            part.load_state_dict(state[kind][name])
    device = torch.device(trainer.data_device)
    for kind in _MODULES:
        for name, part in getattr(trainer, kind).items():
            _set_attributes(part, state["attributes"][kind][name], device)
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.sampler.restore(state["sampler"])
    trainer.dataset.generator.set_state(state["augmentation"])
    _restore_random(state["random"], device)


def _attributes(module):
    """Return the plain attributes of a module and its submodules: submodule -> name -> value.

    PML's losses keep part of their state there, such as CrossBatchMemory the position in its
    queue. Settings are saved along with it, which does no harm.
    """
    return {
        path: {
            name: value.detach() if torch.is_tensor(value) else value
            for name, value in vars(child).items()
            if value is None or isinstance(value, bool | int | float | str | torch.Tensor)
        }
        for path, child in module.named_modules()
    }


def _set_attributes(module, state, device):
    children = dict(module.named_modules())
    for path, attributes in state.items():
        for name, value in attributes.items():
            if torch.is_tensor(value):
                present = vars(children[path]).get(name)
                value = value.to(present.device if torch.is_tensor(present) else device)
            setattr(children[path], name, value)


def _random_state(device):
    # Without an argument this is never a dict, which its annotation allows for.
    state = cast("tuple[str, np.ndarray, int, int, float]", np.random.get_state())  # noqa: NPY002
    name, keys, *rest = state
    return {
        "python": random.getstate(),
        # Checkpoints are loaded with weights_only, which takes tensors and numbers alone.
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if device.type == "cuda" else [],
    }


def _restore_random(state, device):
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    # The machine that resumes may have another number of devices; a run uses the first ones.
    if device.type == "cuda":
        states = state["cuda"][: torch.cuda.device_count()]
        for index, generator_state in enumerate(states):
            torch.cuda.set_rng_state(generator_state, index)
