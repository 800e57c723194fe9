"""CosineKNN: exact nearest neighbours by cosine, called as PoincareKNN is."""

import torch

from ..functional.poincare import has_float64
from ..functional.validation import check_count

_BLOCK_ENTRIES = 2**24  # cosines held at a time


class CosineKNN:
    """Exact k nearest neighbours by cosine similarity, with the interface of PML's ``FaissKNN``.

    Cosines are computed in float64, a block of queries at a time.

    Args:
        reset_before: forget stored references before a call. Default True, as FaissKNN.
        reset_after: forget them after a call. Default True, as FaissKNN.
    """

    def __init__(self, *, reset_before: bool = True, reset_after: bool = True):
        self.reset_before = reset_before
        self.reset_after = reset_after
        self._references: torch.Tensor | None = None

    def __call__(
        self,
        query: torch.Tensor,
        k: int,
        reference: torch.Tensor | None = None,
        ref_includes_query: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the k nearest references of each query.

        Args:
            query: (N, D) embeddings, normalised here.
            k: number of neighbours, >= 1.
            reference: (M, D) embeddings, added to those that :meth:`train` and :meth:`add` stored
                (and ``reset_before`` forgets).
            ref_includes_query: row i of the references is query i itself: leave it out.

        Returns:
            (N, k) cosine distances ``1 - cosine``, nearest first, in the query's dtype (float32 at
            least), and (N, k) long indices of references, both on the query's device.

        Raises:
            ValueError: wrong shapes, values that are not finite, no references, or ``k`` larger
                than their number (less one with ``ref_includes_query``).
        """
        query = _checked("query", query)
        stored = None if self.reset_before else self._references
        references = stored if reference is None else _joined(stored, "reference", reference)
        if references is None:
            raise ValueError(
                "there are no references to search: pass reference=, or train() a "
                "CosineKNN(reset_before=False, reset_after=False)"
            )
        if query.shape[1] != references.shape[1]:
            raise ValueError(
                f"query and references must have equally many columns, got {tuple(query.shape)} "
                f"and {tuple(references.shape)}"
            )
        k = check_count(type(self).__name__, "k", k)
        most = len(references) - bool(ref_includes_query)
        if k > most or (ref_includes_query and len(query) > len(references)):
            raise ValueError(
                f"k must be at most {most} for {len(references)} references and {len(query)} "
                f"queries, got {k}: lower k or add references"
            )
        rows = max(1, _BLOCK_ENTRIES // len(references))
        found = [
            _nearest(part, references, k, start * rows if ref_includes_query else None)
            for start, part in enumerate(_unit(query).split(rows))
        ]
        self._references = None if self.reset_after else references
        dtype = torch.promote_types(query.dtype, torch.float32)
        distances, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
        return distances.to(query.device, dtype), indices.to(query.device)

    def train(self, embeddings: torch.Tensor) -> None:
        """Store embeddings (M, D) as the references, in place of any stored before."""
        self._references = _joined(None, "embeddings", embeddings)

    def add(self, embeddings: torch.Tensor) -> None:
        """Store embeddings (M, D) after those already stored, if any."""
        self._references = _joined(self._references, "embeddings", embeddings)

    def reset(self) -> None:
        """Forget the stored references."""
        self._references = None


def _nearest(query, references, k, first):
    """Find distances and indices (n, k); ``first`` is the reference that row 0 leaves out."""
    distances = 1 - query.to(references.device) @ references.T
    if first is not None:
        rows = torch.arange(len(query), device=references.device)
        distances[rows, first + rows] = torch.inf
    values, indices = distances.topk(k, largest=False)
    # Among those found, equal distances in the order of the references.
    order = indices.argsort(dim=1)
    values, indices = values.gather(1, order), indices.gather(1, order)
    values, order = values.sort(dim=1, stable=True)
    return values.clamp_(min=0), indices.gather(1, order)


def _checked(name, rows):
    rows = torch.as_tensor(rows)
    if rows.ndim != 2 or rows.shape[1] == 0 or not rows.is_floating_point():
        raise ValueError(
            f"CosineKNN takes {name} as an (N, D) floating-point tensor, got "
            f"{tuple(rows.shape)} of {rows.dtype}"
        )
    if not torch.isfinite(rows).all():
        raise ValueError(f"CosineKNN got NaN or infinite values in {name}, expected finite ones")
    return rows


def _joined(stored, name, rows):
    """Stored references, if any, and further rows, as directions."""
    added = _unit(_checked(name, rows))
    if stored is None:
        return added
    if stored.shape[1] != added.shape[1]:
        raise ValueError(
            f"the stored references have {stored.shape[1]} columns, got {name} of shape "
            f"{tuple(added.shape)}"
        )
    return torch.cat([stored, added.to(stored.device)])


def _unit(rows):
    """Return the directions of rows, in float64 (on the CPU where the device has none)."""
    rows = rows.detach()
    rows = (rows if has_float64(rows.device) else rows.cpu()).double()
    return torch.nn.functional.normalize(rows)
