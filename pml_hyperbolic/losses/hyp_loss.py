"""HypLoss: the pairwise cross-entropy of Hyp, for any number of views of a class."""

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction

from .._pml import RecordsMixin, has_references, loss_term
from ..distances import PoincareDistance, check_shared_geometry
from ..functional.poincare import at_least_float32, full_precision
from ..functional.validation import check_positive, required_labels


class HypLoss(RecordsMixin, BaseMetricLossFunction):
    """Hyp: cross-entropy of every ordered pair of views, against the other classes in both views.

    A batch holds m rows of each of B classes; ``z_i`` (B, D) are the i-th rows of all classes in
    the order of the batch. With s the negative distance (or the similarity itself, if the distance
    is inverted),

        L = sum over i != j of CE([s(z_i, z_j) | s(z_i, z_i) without its diagonal] / temperature),

    where the target of a row is its own class and each CE is the mean over its B rows. The *sum*
    over the m(m - 1) ordered pairs is the published loss, whose gradient norm the authors clip at
    3. At m = 2 it is twice PML's ``NTXentLoss``; at more views the two differ, because the
    denominators of that one hold the negatives of all views. ``CosineSimilarity()`` with
    temperature 0.1 gives the paper's "sphere".

    Args:
        temperature: tau, > 0. Default 0.2 (paper).
        distance: any PML distance. Default ``PoincareDistance()``.
        kwargs: PML's ``reducer``, ``embedding_regularizer``, ``collect_stats``.

    Shapes: embeddings (N, D), labels (N,) required, of which every class has the same number
    m >= 2 of rows. Memory is O(N^2) for any m. Reducers get one loss for each of the N(m - 1)
    ordered pairs of rows, multiplied by m(m - 1): their mean, PML's default, is L. On an
    accelerator the number of rows of the classes is waited for.

    Raises:
        ValueError: ``temperature`` is out of range, or a regularizer of another hyperbolic
            geometry; at call time no labels, classes of unequal size or of one row, a miner's
            output or ``ref_emb``: the loss compares views of one whole batch.

    Source: Ermolov et al., CVPR 2022, arXiv 2203.10833.
    """

    def __init__(self, temperature: float = 0.2, *, distance: BaseDistance | None = None, **kwargs):
        check_positive("HypLoss", temperature=temperature)
        super().__init__(distance=distance, **kwargs)
        check_shared_geometry(self)
        self.temperature = temperature
        self.add_to_recordable_attributes(list_of_names=["temperature"], is_stat=False)

    def default_distance(self) -> BaseDistance:
        return PoincareDistance()

    get_default_distance = default_distance  # its name in PML 2

    def forward(self, embeddings: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        """The loss of embeddings (N, D) with labels (N,); the rest as PML's base class."""
        # PML adds a regularizer in the dtype of the embeddings.
        embeddings = embeddings.to(at_least_float32(embeddings.dtype))
        with full_precision(embeddings):
            return super().forward(embeddings, *args, **kwargs)

    def compute_loss(
        self,
        embeddings: torch.Tensor,
        labels: torch.Tensor | None,
        indices_tuple: tuple | None,
        ref_emb: torch.Tensor,
        ref_labels: torch.Tensor | None,
    ) -> dict:
        """PML's loss dictionary of embeddings (N, D) with labels (N,)."""
        labels = required_labels("HypLoss", labels)
        if indices_tuple is not None or has_references(embeddings, labels, ref_emb, ref_labels):
            raise ValueError(
                "HypLoss takes neither a miner's output (indices_tuple) nor ref_emb, because it "
                "compares the views of one whole batch: leave them out, or use PML's NTXentLoss"
            )
        rows = _rows_by_view(labels)  # (m, B)
        m, b = rows.shape
        with full_precision(embeddings):
            ordered = embeddings[rows.flatten()]
            values = self.distance(ordered.to(at_least_float32(ordered.dtype)))
            scores = (values if self.distance.is_inverted else -values) / self.temperature
            losses = _cross_entropies(scores, m)
        anchors = rows.unsqueeze(2).expand(m, b, m)
        positives = rows.T.expand(m, b, m)
        other = ~torch.eye(m, dtype=torch.bool, device=rows.device).unsqueeze(1).expand(m, b, m)
        pairs = (anchors[other], positives[other])
        return {"loss": loss_term(m * (m - 1) * losses[other], pairs, "pos_pair")}


def _rows_by_view(labels):
    """(m, B) rows of a batch: in row i the i-th row of each class, in columns the classes."""
    order = torch.argsort(labels, stable=True)
    counts = torch.unique(labels, return_counts=True)[1]
    fewest, most = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    if fewest != most or most < 2:
        raise ValueError(
            f"HypLoss needs the same number of rows, at least 2, of every class in a batch, got "
            f"{fewest} to {most}: use a sampler such as PML's MPerClassSampler with a batch size "
            f"that is a multiple of m"
        )
    return order.view(-1, most).T


def _cross_entropies(scores, m):
    """(m, B, m): the cross-entropy of view i of class b with view j; meaningless where i = j.

    ``scores`` (N, N) are those of rows in the order of the views, and of the classes within each.
    """
    by_view = (m, -1, m, len(scores) // m)
    masked = scores.clone()
    masked.diagonal().fill_(torch.finfo(scores.dtype).min)
    against = masked.view(by_view).logsumexp(3)  # the classes of each view j
    within = against.diagonal(dim1=0, dim2=2).T.unsqueeze(2)  # j = i, where a row misses itself
    own = scores.view(by_view).diagonal(dim1=1, dim2=3).transpose(1, 2)
    return torch.logaddexp(against, within) - own
