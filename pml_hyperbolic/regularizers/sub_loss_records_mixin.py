"""SubLossRecordsMixin: keeps the parts of a loss and the clip saturation of each forward pass."""

import torch

from .._pml import RecordsMixin


class SubLossRecordsMixin(RecordsMixin):
    """Keeps each sub-loss and the clip saturation of the last forward pass as attributes.

    ``sub_losses`` maps the names of sub-losses to detached scalars: their means, before any custom
    reducer. ``embedding_saturation`` and ``proxy_saturation`` are the fractions of vectors at the
    clip radius (None before the first forward pass). With ``collect_stats`` all of them are
    recordable statistics and plain floats, which synchronises CUDA; without, they are tensors and
    cost no synchronisation.

    Mixed into a PML loss or regularizer, before its PML base class.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sub_losses: dict[str, torch.Tensor] = {}
        self.add_to_recordable_attributes(
            list_of_names=[*self._sub_loss_names(), "embedding_saturation", "proxy_saturation"],
            is_stat=True,
        )
        if not self.collect_stats:
            self.embedding_saturation = self.proxy_saturation = None

    def record_parts(
        self,
        loss_dict: dict,
        embedding_saturation: torch.Tensor,
        proxy_saturation: torch.Tensor,
    ) -> None:
        """Record the parts of this forward pass; ``loss_dict`` is what compute_loss returns."""
        self.sub_losses = {
            name: part["losses"].detach().float().mean() for name, part in loss_dict.items()
        }
        self.embedding_saturation = embedding_saturation
        self.proxy_saturation = proxy_saturation
        if self.collect_stats:
            for name, value in self.sub_losses.items():
                setattr(self, name, value.item())
            self.embedding_saturation = embedding_saturation.item()
            self.proxy_saturation = proxy_saturation.item()
