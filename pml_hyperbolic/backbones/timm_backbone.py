"""TimmBackbone: any image model of timm without its classifier."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..array_files import read_arrays
from ..errors import message_of, nearest
from ..file_kinds import why_unreadable
from .backbone import Backbone

_BATCH_NORM_POLICY = {"statistics": "trained", "affine": "trained"}


class TimmBackbone(Backbone):
    """The pooled features of a model of timm.

    Args:
        in_channels: channels of the images; timm adapts a pretrained first convolution to them.
        model: name of the model in timm. With ``pretrained``, the name must include a tag if there
            are several weights, as in "vit_small_patch16_224.augreg_in21k", because the default
            weights of a bare name may change with the version of timm.
        pretrained: start from published weights. Default False.
        weights: a file that the published weights are read from; needs ``pretrained``. Default:
            they are downloaded.
        pooling: timm's ``global_pool``, such as "avg", "avgmax" or "token". Default: that of the
            model.
        batch_norm: which parts of batch norm are ``frozen`` or ``trained``, as a dict with the keys
            ``statistics`` (frozen: the stored statistics are used in training too) and ``affine``
            (weight and bias). Default: both are trained.
        freeze_patch_embedding: do not train the patch embedding of a vision transformer. Default
            False.
        class_token_only: when the features are the output of a vision transformer's class token
            alone: "always", or in "training". It matters where there is a distillation token too
            (DeiT): timm then averages the two. In versions of timm up to 0.5, which Hyp and HIER
            were trained with, a model in training mode returns both and their code takes the first;
            in evaluation mode the average is returned. Default: timm's average.

    Attributes:
        out_features: dimension of the features.
        mean, std: of the input, from timm's ``pretrained_cfg``; their mean over channels if
            ``in_channels`` differs from the channels of the weights.

    Shapes: (N, in_channels, H, W) -> (N, out_features).

    Raises:
        ValueError: an unknown model, tag or policy, or weights that are not available or do not fit
            the model.
    """

    def __init__(
        self,
        in_channels: int,
        model: str,
        pretrained: bool = False,
        weights: str | None = None,
        pooling: str | None = None,
        batch_norm: Mapping[str, str] | None = None,
        freeze_patch_embedding: bool = False,
        class_token_only: str | None = None,
    ):
        super().__init__()
        _check_name(model, pretrained)
        arguments: dict[str, Any] = {"num_classes": 0, "in_chans": in_channels}
        if pooling is not None:
            arguments["global_pool"] = pooling
        if weights is not None:
            if not pretrained:
                raise ValueError(
                    "weights are read only with pretrained: true: set it, or leave weights out"
                )
            if not Path(weights).is_file():
                raise ValueError(
                    f"there is no weights file {weights}: download {_source(model)} and give its "
                    f"path"
                )
        self.model = (
            _pretrained(model, weights, arguments) if pretrained else _create(model, arguments)
        )
        config = self.model.pretrained_cfg
        self.out_features = _count_features(self.model, (in_channels, *config["input_size"][1:]))
        self.mean, self.std = (
            list(config[key]) if len(config[key]) == in_channels else statistics.fmean(config[key])
            for key in ("mean", "std")
        )
        self.frozen_statistics = self._set_batch_norm(model, batch_norm)
        if freeze_patch_embedding:
            if not hasattr(self.model, "patch_embed"):
                raise ValueError(
                    f"{model} has no patch embedding to freeze: leave freeze_patch_embedding out"
                )
            self.model.patch_embed.requires_grad_(False)
        _check_class_token(self.model, model, class_token_only)
        self.class_token_only = class_token_only

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.class_token_only == "always" or (
            self.class_token_only == "training" and self.training
        ):
            return self.model.forward_features(images)[:, 0]
        return self.model(images)

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Set the mode as torch does, but keep frozen statistics frozen."""
        super().train(mode)
        if self.frozen_statistics:
            for module in _batch_norms(self.model):
                module.eval()
        return self

    def _set_batch_norm(self, model, policy):
        """Freeze parts of batch norm; return whether the statistics are frozen."""
        if policy is None:
            return False
        for key, value in policy.items():
            if key not in _BATCH_NORM_POLICY:
                raise ValueError(f"batch_norm.{key}: {nearest(str(key), _BATCH_NORM_POLICY)}")
            if value not in ("frozen", "trained"):
                raise ValueError(f"batch_norm.{key} must be frozen or trained, got {value!r}")
        modules = _batch_norms(self.model)
        if not modules:
            raise ValueError(f"{model} has no batch norm: leave batch_norm out")
        policy = {**_BATCH_NORM_POLICY, **policy}
        if policy["affine"] == "frozen":
            for module in modules:
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)
        return policy["statistics"] == "frozen"


def _check_class_token(network, model, use):
    if use is None:
        return
    if use not in ("always", "training"):
        raise ValueError(f'class_token_only must be "always" or "training", got {use!r}')
    token = getattr(network, "cls_token", None)
    if token is None or getattr(network, "global_pool", None) != "token":
        raise ValueError(
            f"{model} does not pool by a class token here: leave class_token_only"
            f"{'' if token is None else ' or pooling'} out"
        )


def _count_features(model, size):
    """Measure the dimension of the features: no attribute of timm accounts for every pooling."""
    training = model.training
    with torch.no_grad():
        features = model.eval()(torch.zeros(1, *size))
    model.train(training)
    return features.shape[1]


def _batch_norms(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]


def _check_name(model, pretrained):
    import timm

    bare, _, tag = model.partition(".")
    if not timm.is_model(bare):
        raise ValueError(f"timm has no model {bare!r}: {nearest(bare, timm.list_models())}")
    tags = [name.partition(".")[2] for name in timm.list_models(f"{bare}.*", pretrained=True)]
    if tag and tag not in tags:
        raise ValueError(f"{bare} has no weights {tag!r}: {nearest(tag, tags)}")
    if pretrained and not tag and len(tags) > 1:
        raise ValueError(
            f"several weights of {bare} are published, and the one that a bare name selects "
            f"changes with the version of timm: write {bare}.TAG with a TAG of {', '.join(tags)}"
        )
    if pretrained and not tags:
        raise ValueError(f"no weights of {bare} are published: set pretrained: false")


def _create(model, arguments, **more):
    import timm

    return timm.create_model(model, **arguments, **more)


def _pretrained(model, weights, arguments):
    published: dict[str, Any] = {"pretrained": True}
    if weights is not None:
        published["pretrained_cfg_overlay"] = {"file": str(weights)}
    start = torch.get_rng_state()
    untrained = _create(model, arguments)
    torch.set_rng_state(start)
    try:
        if weights is not None and not weights.endswith(".safetensors"):
            # Not every version of timm refuses to run what a file holds.
            read_arrays(Path(weights))
        trained = _create(model, arguments, **published)
    # The download, its cache and torch's unpickling raise exceptions of many kinds.
    except Exception as error:
        reason = message_of(error)
        if len(reason) > 300:
            reason = f"{reason[:300]}..."
        if weights is None:
            raise ValueError(
                f"the weights of {model} cannot be downloaded here ({reason}): download "
                f"{_source(model)} elsewhere, and give the path of the file as weights"
            ) from error
        raise ValueError(
            f"{weights} does not contain weights of {model} "
            f"({why_unreadable(Path(weights), error)}): download {_source(model)}"
        ) from error
    # Without a classifier, timm loads the weights that fit and ignores missing ones. A matrix that
    # still has its random initial values was not in the file.
    untouched = [
        name
        for (name, before), after in zip(
            untrained.named_parameters(), trained.parameters(), strict=True
        )
        if before.ndim > 1 and before.std() > 0 and torch.equal(before, after)
    ]
    if untouched:
        more = f" and {len(untouched) - 1} more" if untouched[1:] else ""
        raise ValueError(
            f"{weights or 'the download'} does not contain all weights of {model}: it lacks "
            f"{untouched[0]}{more}; download {_source(model)}"
        )
    return trained


def _source(model):
    """Describe where timm would download the weights from."""
    import timm

    config = timm.get_pretrained_cfg(model)
    if config is not None and config.hf_hub_id:
        return f"model.safetensors of https://huggingface.co/{config.hf_hub_id}"
    return (config.url if config is not None else None) or "its weights"
