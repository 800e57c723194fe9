"""MetricLossOnly: PML's trainer with mixed precision, gradient clipping and safety checks."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import tqdm

from .. import _pml
from ..distances import check_shared_geometry
from ..distributed.collectives import rank, world_size
from ..distributed.gathering import gather_batch
from ..distributed.gradients import multiply_gradient
from ..distributed.joining import join_processes
from ..distributed.rank_share import RankShare
from ..distributed.rank_zero_batches import RankZeroBatches
from ..functional.validation import check_count, check_positive
from ..utils.transfer import to_device
from .finite_check import FiniteCheck, NonFiniteError
from .optimizer_coverage import check_optimizer_coverage


class MetricLossOnly(_pml.MetricLossOnly):
    """PML's ``MetricLossOnly``, which keeps the dtype of loss parameters and stops on divergence.

    Models may run under autocast. Miners and losses never do: they receive embeddings in the dtype
    of the loss's own parameters (in float32 if the loss has none and the embeddings are half
    precision), because PML's proxy losses permanently convert their proxies to the dtype of the
    embeddings. The trainer itself never synchronises CUDA in a step, except that the gradient
    scaler of float16 reads its overflow flag.

    Under torchrun, once a process group is initialised, all processes train one run together. Each
    loads its share of every batch of rank 0's sampler, the loss is that of the whole batch (as in
    :class:`DistributedLoss`), and weights, learning rates, clipping and stopping do not depend on
    the number of processes. Pass the same plain models and losses to every process, and its own
    ``data_device``. Batch norm is synchronised on CUDA and must be frozen on the CPU.

    Args:
        args, kwargs: as PML's ``MetricLossOnly``. ``batch_size`` is that of all processes together.
        name: display name of this run in error messages. Default "the run".
        precision: torch.float32 (default; no autocast), torch.bfloat16 or torch.float16 for the
            models. With float16 on CUDA, gradients are scaled.
        max_gradient_norm: largest norm of the gradients of all models, and of those of all losses,
            > 0. The two are clipped separately, so that a loss with large proxy gradients does not
            slow the trunk. None (default) does not clip.
        max_gradient_value: every element of a gradient is then clamped to plus or minus this
            value, > 0. None (default) does not clamp.
        network_gradient_scale: factor on the gradient of the embeddings, and so on that of the
            models, before it is clipped, > 0. Gradients of the losses' own parameters are not
            scaled. Default 1. HIER's code has 1 / its number of processes: each takes the loss of
            the whole batch, keeps the gradient of its own rows, and DistributedDataParallel
            averages.
        check_interval: number of steps between two checks for divergence on an accelerator, >= 1.
            Default 50 (our choice). There is also a check at the end of each epoch; on the CPU,
            every step is checked.
        show_progress: whether rank 0 draws a progress bar for each epoch. Default True.

    Raises:
        ValueError: an argument is out of range; from :meth:`train`, a trainable parameter of the
            models or losses is in no optimizer or in two, a regularizer of a loss has another
            hyperbolic geometry, or the parts of the trainer cannot be trained in several processes.
        NonFiniteError: from :meth:`train`, embeddings, the loss or its parameters became NaN or
            infinite.
    """

    # Attributes of PML's trainer, which initialize_dataloader replaces for a moment.
    dataset: Any
    sampler: Any

    def __init__(
        self,
        *args: Any,
        name: str = "the run",
        precision: torch.dtype = torch.float32,
        max_gradient_norm: float | None = None,
        max_gradient_value: float | None = None,
        network_gradient_scale: float = 1.0,
        check_interval: int = 50,
        show_progress: bool = True,
        **kwargs: Any,
    ):
        if precision not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(
                f"precision must be torch.float32, torch.bfloat16 or torch.float16, got {precision}"
            )
        for limit, value in (
            ("max_gradient_norm", max_gradient_norm),
            ("max_gradient_value", max_gradient_value),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"{limit} must be > 0 or None, got {value}")
        check_positive(type(self).__name__, network_gradient_scale=network_gradient_scale)
        check_interval = check_count(type(self).__name__, "check_interval", check_interval)
        super().__init__(*args, **kwargs)
        self.name = name
        self.precision = precision
        self.max_gradient_norm = max_gradient_norm
        self.max_gradient_value = max_gradient_value
        self.network_gradient_scale = network_gradient_scale
        self.check_interval = check_interval
        self.show_progress = show_progress
        self.device_type = torch.device(self.data_device).type
        self.scaler = torch.amp.GradScaler(
            self.device_type,
            enabled=precision == torch.float16 and self.device_type == "cuda",
        )
        self.finite_check = FiniteCheck()
        self._network: torch.nn.Module | None = None

    def modify_schema(self) -> None:
        """PML's check of the parts; a model without trainable parameters needs no optimizer."""
        super().modify_schema()
        self.schema["optimizers"].important = [
            f"{name}_optimizer"
            for name, model in self.models.items()
            if any(parameter.requires_grad for parameter in model.parameters())
        ]

    def train(self, start_epoch: int = 1, num_epochs: int = 1) -> None:
        """Train from ``start_epoch`` to ``num_epochs``, both included."""
        for loss in self.loss_funcs.values():
            check_shared_geometry(loss)
        check_optimizer_coverage(
            self._without_frozen({**self.models, **self.loss_funcs}),
            self._without_frozen(self.optimizers),
        )
        self.finite_check = FiniteCheck()
        if world_size() > 1 and self._network is None:
            self.set_to_train()
            self._network = join_processes(self, super().compute_embeddings)
        self.initialize_dataloader()
        for self.epoch in range(start_epoch, num_epochs + 1):
            self.set_to_train()
            _pml.logger().info("TRAINING EPOCH %d", self.epoch)
            with tqdm.tqdm(
                range(self.iterations_per_epoch),
                desc=f"epoch {self.epoch}",
                disable=not self.show_progress or rank() > 0,
            ) as steps:
                for self.iteration in steps:
                    self.forward_and_backward()
                    self.end_of_iteration_hook(self)
                    self.step_lr_schedulers(end_of_epoch=False)
                    if (self.iteration + 1) % self.check_interval == 0:
                        self.stop_unless_finite()
            self.step_lr_schedulers(end_of_epoch=True)
            self.stop_unless_finite()
            self.zero_losses()
            if self.end_of_epoch_hook(self) is False:
                break

    def initialize_dataloader(self) -> None:
        """PML's loader; of several processes, each loads its share of rank 0's batches."""
        if world_size() == 1:
            super().initialize_dataloader()
            return
        dataset, sampler = given = self.dataset, self.sampler
        if not isinstance(sampler, torch.utils.data.BatchSampler):
            if sampler is None:
                sampler = torch.utils.data.RandomSampler(dataset)
            sampler = torch.utils.data.BatchSampler(sampler, int(self.batch_size), drop_last=True)
        self.dataset, self.sampler = RankShare(dataset), RankZeroBatches(sampler)
        try:
            super().initialize_dataloader()
        finally:
            self.dataset, self.sampler = given

    def forward_and_backward(self) -> None:
        """One optimization step; autocast is only on in the models, whatever surrounds the step."""
        with torch.autocast(self.device_type, enabled=False):
            super().forward_and_backward()

    def compute_embeddings(self, data: torch.Tensor) -> torch.Tensor:
        """(N, D) embeddings of a batch, in the dtype that losses and miners need."""
        with torch.autocast(
            self.device_type,
            dtype=self.precision if self.precision != torch.float32 else None,
            enabled=self.precision != torch.float32,
            # Inside a caller's autocast, the cache of cast weights would outlive optimizer steps.
            cache_enabled=False,
        ):
            if world_size() > 1 and self._network is not None:
                embeddings = self._network(data)
            else:
                embeddings = super().compute_embeddings(data)
        return embeddings.to(self.loss_dtype(embeddings.dtype))

    def loss_dtype(self, embeddings_dtype: torch.dtype) -> torch.dtype:
        """The dtype of the losses' own parameters; without any, that given or at least float32."""
        own = {
            parameter.dtype
            for loss in self.loss_funcs.values()
            for parameter in loss.parameters()
            if parameter.is_floating_point()
        }
        dtypes = own or {embeddings_dtype, torch.float32}
        result = dtypes.pop()
        while dtypes:
            result = torch.promote_types(result, dtypes.pop())
        return result

    def calculate_loss(self, curr_batch: tuple) -> None:
        """PML's loss of the batch of all processes; embeddings and loss must be finite."""
        data, labels = curr_batch
        # PML passes labels on the CPU; its losses would wait for the device when moving them.
        labels = to_device(labels, self.data_device)
        embeddings = self.compute_embeddings(data)
        randomness: contextlib.AbstractContextManager = contextlib.nullcontext()
        if world_size() > 1:
            embeddings, (labels,), randomness = gather_batch(embeddings, labels)
        if self.network_gradient_scale != 1 and embeddings.requires_grad:
            embeddings = multiply_gradient(embeddings, self.network_gradient_scale)
        # All processes check the same values, so that none stops alone while the others wait.
        self._check("embeddings", embeddings)
        with randomness:
            try:
                indices_tuple = self.maybe_mine_embeddings(embeddings, labels)
                loss = self.maybe_get_metric_loss(embeddings, labels, indices_tuple)
            except ValueError:
                # A loss may refuse diverged proxies, which is divergence, not an invalid argument.
                self._check_parameters()
                raise
        if torch.is_tensor(loss):
            self._check("loss", loss)
        self.losses["metric_loss"] = loss

    def backward(self) -> None:
        """Gradients of the total loss, scaled if float16 needs it."""
        self.scaler.scale(self.losses["total_loss"]).backward()

    def clip_gradients(self) -> None:
        """Clip gradients by norm, then by value, then with PML's own gradient clippers."""
        if self.scaler.is_enabled():
            for optimizer in self._active_optimizers():
                self.scaler.unscale_(optimizer)
        for modules in (self.models, self.loss_funcs):
            parameters = [p for m in modules.values() for p in m.parameters()]
            # Many losses have no parameters, and torch refuses to clip an empty list by value.
            if all(p.grad is None for p in parameters):
                continue
            if self.max_gradient_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, self.max_gradient_norm)
            if self.max_gradient_value is not None:
                torch.nn.utils.clip_grad_value_(parameters, self.max_gradient_value)
        super().clip_gradients()

    def step_optimizers(self) -> None:
        """Step every optimizer whose module is not frozen."""
        for optimizer in self._active_optimizers():
            self.scaler.step(optimizer)
        self.scaler.update()

    def stop_unless_finite(self) -> None:
        """Raise if embeddings or losses were NaN or infinite so far. Synchronises the device.

        Raises:
            NonFiniteError: names the run, what was not finite, the step and the learning rates.
        """
        bad = self.finite_check.first_bad()
        if bad is not None:
            what, step = bad
            rates = ", ".join(
                f"{name.removesuffix('_optimizer')} {group['lr']:g}"
                for name, optimizer in self.optimizers.items()
                for group in optimizer.param_groups
            )
            scales = sorted(
                {
                    f"{module.la:g}"
                    for loss in self.loss_funcs.values()
                    for module in loss.modules()
                    if isinstance(getattr(module, "la", None), int | float)
                }
            )
            scale = f"; scale la {', '.join(scales)}" if scales else ""
            raise NonFiniteError(
                f"{self.name}: {what} became NaN or infinite at step {step} "
                f"(learning rates: {rates}{scale}): lower the learning rate or the loss's scale"
            )

    def _check(self, name, values):
        if not self.finite_check.update(name, values, self.get_global_iteration()):
            self.stop_unless_finite()

    def _check_parameters(self):
        for loss in self.loss_funcs.values():
            for name, parameter in loss.named_parameters():
                self._check(f"the loss's {name}", parameter)
        self.stop_unless_finite()

    def _without_frozen(self, named):
        """The modules or optimizers that ``freeze_these`` does not freeze."""
        return {
            name: value
            for name, value in named.items()
            if name.removesuffix("_optimizer") not in self.freeze_these
        }

    def _active_optimizers(self) -> Iterator[torch.optim.Optimizer]:
        for optimizer in self._without_frozen(self.optimizers).values():
            # The scaler refuses an optimizer if none of its parameters has a gradient.
            if not self.scaler.is_enabled() or any(
                p.grad is not None for group in optimizer.param_groups for p in group["params"]
            ):
                yield optimizer
