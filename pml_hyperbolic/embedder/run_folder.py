"""Read the folder of a finished run: the description of its model, and its weights."""

from pathlib import Path
from typing import Any

import torch

from ..array_files import read_tensors
from ..backbones import weights_hash
from ..checked_files import open_checked, read_checked_json, read_checked_text
from ..errors import InputError, message_of
from ..file_kinds import UNREADABLE, why_unreadable
from .benchmark_scores import benchmark_scores
from .model_description import ModelDescription, build_backbone, without_origin
from .preprocessing import Preprocessing
from .space_layout import HYPERBOLIC, SpaceLayout

# Names of the files that a run leaves in its folder.
_CONFIG, _CHECKPOINT, _RESULT = "config.yaml", "checkpoint.pt", "result.json"
# Two folders above them, where the trunk is frozen: its weights, which all runs share.
_FROZEN_TRUNK = "frozen_trunk.pt"
# What both config.yaml and result.json say of the run, besides its method's name.
_IDENTITY = ("fold", "seed", "protocol_hash", "method_hash")
_AGAIN = "run the benchmark again"
# Arguments of data sets that say where their files lie on the machine of the run.
_PLACES = ("root", "unpacked")


def read_run(folder: Path) -> tuple[ModelDescription, dict[str, torch.Tensor]]:
    """Read the model that a finished run selected.

    Args:
        folder: ``runs/<benchmark>/<method>/fold<i>_seed<j>``, as `pml-hyperbolic run` leaves it.

    Returns:
        Its description, and its weights by name, ``trunk.*`` and ``head.*``.

    Raises:
        InputError: a file is missing, damaged or of another run; the message names it.
    """
    _check_present(folder)
    config = _read_config(folder / _CONFIG)
    rows = _read_rows(folder / _RESULT)
    _check_same_run(folder, config, rows)
    models = _read_checkpoint(folder / _CHECKPOINT, rows[0]["epoch"])["models"]
    try:
        if config["protocol"].get("trunk") == "frozen":
            models["trunk"] = _read_frozen_trunk(folder.resolve().parents[1] / _FROZEN_TRUNK)
        weights = {
            f"{part}.{name}": tensor
            for part, state in (("trunk", "trunk"), ("head", "embedder"))
            for name, tensor in models[state].items()
        }
        return _describe(folder, config, rows, weights), weights
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / _CONFIG} is not the config of a run "
            f"({type(error).__name__}: {error}): {_AGAIN}"
        ) from error


def _check_present(folder):
    if not folder.is_dir():
        raise InputError(f"{folder} is missing: give the folder of a finished run")
    missing = [name for name in (_CONFIG, _CHECKPOINT, _RESULT) if not (folder / name).is_file()]
    if not missing:
        return
    runs = sorted(folder.glob(f"*/{_RESULT}")) or sorted(folder.glob(f"*/*/{_RESULT}"))
    if runs:
        raise InputError(f"{folder} holds several runs: name one of them, such as {runs[0].parent}")
    raise InputError(
        f"{folder} lacks {' and '.join(missing)}, so it is not that of a finished run: finish it "
        f"with `pml-hyperbolic run`, or give runs/<benchmark>/<method>/fold<i>_seed<j>"
    )


def _read_config(file):
    import yaml

    try:
        config = yaml.safe_load(read_checked_text(file))
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(config, dict) or any(key not in config for key in ("protocol", "method")):
        raise InputError(
            f"{file} is not the config of a run, it lacks protocol or method: {_AGAIN}"
        )
    return config


def _read_rows(file):
    try:
        rows = read_checked_json(file)
    except (OSError, RecursionError, ValueError) as error:
        raise _unreadable(file, error) from error
    needed = {"method", "space", "dimension", "epoch", "seed", "protocol_hash"}
    if not (
        isinstance(rows, list)
        and rows
        and all(isinstance(row, dict) and row.keys() >= needed for row in rows)
    ):
        raise InputError(f"{file} is not a result of `pml-hyperbolic run`: {_AGAIN}")
    return rows


def _check_same_run(folder, config, rows):
    method = config["method"].get("name") if isinstance(config["method"], dict) else None
    identity = {**config, "method": method}
    for key in ("method", *_IDENTITY):
        # Early versions did not record all of it in both files.
        found = {row[key] for row in rows if row.get(key) is not None}
        known = identity.get(key)
        if known is not None and found - {known}:
            raise InputError(
                f"{folder / _CONFIG} and {folder / _RESULT} are of different runs, {key} is "
                f"{known!r} and {rows[0].get(key)!r}: {_AGAIN}"
            )


def _unreadable(file, error):
    reason = message_of(error)
    return InputError(f"{file} cannot be read ({reason}): {_AGAIN}")


def _read_frozen_trunk(file):
    if not file.is_file():
        raise InputError(
            f"{file} is missing: the runs of a frozen trunk share its weights, so keep this file "
            f"two folders above the run"
        )
    try:
        with open_checked(file) as stream:
            content = read_tensors(stream)
        weights = content["weights"]
        if weights_hash(weights) != content["hash"]:
            raise ValueError("its checksum is wrong")
    except UNREADABLE as error:
        reason = why_unreadable(file, error)
        raise InputError(
            f"{file} does not hold the weights of a frozen trunk or is damaged ({reason}): remove "
            f"it and run the benchmark again"
        ) from error
    return weights


def _read_checkpoint(file, epoch):
    try:
        with open_checked(file) as stream:
            checkpoint = read_tensors(stream)
        parts = [checkpoint["models"][part] for part in ("trunk", "embedder")]
        if not all(torch.is_tensor(tensor) for part in parts for tensor in part.values()):
            raise ValueError("its models are not tensors")
        of = checkpoint["epoch"]
    except UNREADABLE as error:
        reason = why_unreadable(file, error)
        raise InputError(
            f"{file} is not the checkpoint of a run or is damaged ({reason}): {_AGAIN}"
        ) from error
    if of != epoch:
        raise InputError(
            f"{file} is of another run, its epoch is {of} and {_RESULT} selected epoch {epoch}: "
            f"{_AGAIN}"
        )
    return checkpoint


def _describe(folder, config, rows, weights):
    protocol, method = config["protocol"], config["method"]
    (backbone, arguments), *_ = protocol["backbone"].items()
    layout = SpaceLayout({row["space"]: row["dimension"] for row in rows}, _geometry(rows, method))
    in_channels = _in_channels(backbone, weights)
    with torch.random.fork_rng(devices=[]):
        trunk = build_backbone({backbone: arguments}, in_channels)
    image = protocol.get("image") or {}
    (data,) = protocol["data"].values()
    size = image.get("size")
    preprocessing = Preprocessing(
        in_channels,
        _plain(trunk.mean),
        _plain(trunk.std),
        # The data sets that resize their images as they read them call the size so.
        stored_size=(data or {}).get("size"),
        short_side=image.get("resize") or size,
        size=size,
        interpolation=image.get("interpolation", "bilinear"),
    )
    run = {
        "benchmark": config["name"],
        **{key: config.get(key, rows[0].get(key)) for key in _IDENTITY},
        "method": _without_places(method),
        "protocol": _without_places(protocol),
        "data_fingerprint": rows[0].get("data"),
        "label_levels": rows[0].get("levels"),
        "epoch": rows[0]["epoch"],
        "parameters": rows[0].get("parameters"),
        "saturation": rows[0].get("saturation"),
        "packages": _packages(folder),
    }
    return ModelDescription(
        {backbone: without_origin(arguments)},
        _origin(backbone, arguments, frozen=protocol.get("trunk") == "frozen"),
        layout,
        preprocessing,
        protocol["evaluation"]["batch_size"],
        run,
        benchmark_scores(folder, rows),
        (method.get("head") or {}).get("layer_norm", True),
    )


def _geometry(rows, method):
    """Return the spec of the distance that ranked the hyperbolic space, or None."""
    found = [row.get("geometry") for row in rows if row["space"] == HYPERBOLIC]
    if not found or found[0] is None:
        return None
    named = _distances_in(method)
    name = "PoincareSimilarity" if set(named) == {"PoincareSimilarity"} else "PoincareDistance"
    bounded = {key: named[name][key] for key in ("bounded",) if key in (named.get(name) or {})}
    return {name: {**found[0], **bounded}}


def _distances_in(spec):
    """Find the hyperbolic distances that a method's config names, with their arguments."""
    found = {}
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key in ("PoincareDistance", "PoincareSimilarity"):
                found[key] = value
            found |= _distances_in(value)
    elif isinstance(spec, list):
        for value in spec:
            found |= _distances_in(value)
    elif spec in ("PoincareDistance", "PoincareSimilarity"):
        found[spec] = {}
    return found


def _in_channels(backbone, weights):
    """Count the channels of the first convolution, or the features that the head takes."""
    if backbone == "identity":
        head = [tensor for name, tensor in weights.items() if name.startswith("head.")]
        matrices = [tensor for tensor in head if tensor.ndim == 2]
        if not matrices:
            raise InputError(f"{_CHECKPOINT} holds no weights of a head: {_AGAIN}")
        return matrices[0].shape[1]
    trunk = [tensor for name, tensor in weights.items() if name.startswith("trunk.")]
    return next((tensor.shape[1] for tensor in trunk if tensor.ndim == 4), 3)


def _origin(backbone, arguments, *, frozen):
    if backbone == "identity":
        return "precomputed features: there is no backbone to train"
    if not arguments.get("pretrained"):
        how = "with random weights, not trained" if frozen else "trained from random weights"
        return f"{arguments.get('model', backbone)}, {how}"
    source = arguments.get("weights")
    where = f"the file {Path(source).name}" if source else "timm's published weights"
    how = "not trained further, with" if frozen else "fine-tuned from"
    return f"{arguments['model']}, {how} {where}"


def _without_places(content: Any) -> Any:
    """Copy a part of a config without the folders of the machine that it ran on."""
    if not isinstance(content, dict):
        return content
    return {
        key: Path(value).name
        if key == "weights" and isinstance(value, str)
        else _without_places(value)
        for key, value in content.items()
        if key not in _PLACES
    }


def _packages(folder):
    try:
        return read_checked_json(folder / "environment.json")["packages"]
    except (KeyError, OSError, TypeError, ValueError):
        return {}


def _plain(value):
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else float(value)
