"""Losses (pages: losses/base_metric_loss_function, base_proxy_loss, generic_pair_loss,
soft_triple_loss, multiple_losses)."""

import torch

from ._terms import checked_terms
from .distances import CosineSimilarity, LpDistance
from .reducers import MeanReducer
from .types import PairIndices, TripletIndices
from .utils import indexing

__all__ = [
    "BaseMetricLossFunction",
    "BaseProxyLoss",
    "ContrastiveLoss",
    "GenericPairLoss",
    "MultipleLosses",
    "SoftTripleLoss",
]


class BaseMetricLossFunction(torch.nn.Module):
    def __init__(
        self, *, distance=None, reducer=None, embedding_regularizer=None, embedding_reg_weight=1.0
    ):
        super().__init__()
        self.distance = self.default_distance() if distance is None else distance
        self.reducer = self.default_reducer() if reducer is None else reducer
        self.embedding_regularizer = embedding_regularizer
        self.embedding_reg_weight = embedding_reg_weight

    def default_distance(self):
        return LpDistance()

    def default_reducer(self):
        return MeanReducer()

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        raise NotImplementedError

    def objective_terms(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        if labels is not None and len(labels) != len(embeddings):
            raise ValueError("one label for each embedding")
        if indices_tuple is not None:
            kind = {3: TripletIndices, 4: PairIndices}[len(indices_tuple)]
            indices_tuple = kind(*indices_tuple)
        return checked_terms(
            self.compute_loss(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        )

    def regularization_terms(self, embeddings):
        if self.embedding_regularizer is None:
            return {}
        loss = self.embedding_reg_weight * self.embedding_regularizer(embeddings)
        return {"embedding_reg_loss": {"losses": loss, "indices": None}}

    def forward(self, embeddings, labels=None, indices_tuple=None, ref_emb=None, ref_labels=None):
        terms = self.objective_terms(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        total = self.reducer(terms, embeddings, labels)
        for term in checked_terms(self.regularization_terms(embeddings)).values():
            total = total + term["losses"]
        return total

    def loss_terms(
        self, embeddings, labels=None, indices_tuple=None, ref_emb=None, ref_labels=None
    ):
        terms = self.objective_terms(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        return {**terms, **self.regularization_terms(embeddings)}


class GenericPairLoss(BaseMetricLossFunction):
    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        pairs = indices_tuple or indexing.get_all_pairs_indices(labels, ref_labels)
        return self.pair_loss(self.distance(embeddings, ref_emb), pairs)

    @staticmethod
    def pair_values(mat, pairs):
        a1, p, a2, n = pairs
        return mat[a1, p], mat[a2, n]

    def pair_loss(self, mat, pairs):
        raise NotImplementedError


class ContrastiveLoss(GenericPairLoss):
    def __init__(self, pos_margin=0.0, neg_margin=1.0, **options):
        super().__init__(**options)
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin

    def pair_loss(self, mat, pairs):
        positive, negative = self.pair_values(mat, pairs)
        a1, p, a2, n = pairs
        pos_loss = torch.relu(self.distance.margin(positive, self.pos_margin))
        neg_loss = torch.relu(self.distance.margin(self.neg_margin, negative))
        return {
            "pos_loss": {"losses": pos_loss, "indices": (a1, p)},
            "neg_loss": {"losses": neg_loss, "indices": (a2, n)},
        }


class BaseProxyLoss(BaseMetricLossFunction):
    def __init__(
        self,
        num_weights,
        embedding_size,
        *,
        weight_regularizer=None,
        weight_reg_weight=1.0,
        weight_init_func=None,
        **options,
    ):
        super().__init__(**options)
        self.weight = torch.nn.Parameter(torch.empty(num_weights, embedding_size))
        self.weight_regularizer = weight_regularizer
        self.weight_reg_weight = weight_reg_weight
        with torch.no_grad():
            (weight_init_func or self.default_weight_init)(self.weight)

    def default_weight_init(self, weight):
        torch.nn.init.normal_(weight)

    def regularization_terms(self, embeddings):
        terms = super().regularization_terms(embeddings)
        if self.weight_regularizer is not None:
            loss = self.weight_reg_weight * self.weight_regularizer(self.weight)
            terms["weight_reg_loss"] = {"losses": loss, "indices": None}
        return terms


class SoftTripleLoss(BaseProxyLoss):
    def __init__(
        self,
        num_classes,
        embedding_size,
        centers_per_class=10,
        la=20,
        gamma=0.1,
        margin=0.01,
        **options,
    ):
        super().__init__(num_classes * centers_per_class, embedding_size, **options)
        self.num_classes = num_classes
        self.la = la
        self.gamma = gamma
        self.margin = margin

    def default_distance(self):
        return CosineSimilarity()

    def get_logits(self, embeddings):
        if self.weight.dtype != embeddings.dtype:
            raise ValueError("embeddings and weight have different dtypes")
        similarity = self.distance(embeddings, self.weight)
        by_class = similarity.unflatten(1, (self.num_classes, -1))
        return (by_class * torch.softmax(by_class / self.gamma, dim=2)).sum(2)

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        if ref_emb is not None or ref_labels is not None:
            raise ValueError("no references")
        rows = torch.arange(len(embeddings), device=embeddings.device)
        own = torch.nn.functional.one_hot(labels, self.num_classes) * self.margin
        losses = torch.nn.functional.cross_entropy(
            self.la * (self.get_logits(embeddings) - own), labels, reduction="none"
        )
        weights = indexing.convert_to_weights(indices_tuple, labels, losses.dtype)
        return {"element_loss": {"losses": losses * weights, "indices": rows}}


class MultipleLosses(torch.nn.Module):
    def __init__(self, losses, miners=None, weights=None):
        super().__init__()
        self.losses = torch.nn.ModuleDict(losses)
        self.miners = torch.nn.ModuleDict(miners or {})
        self.weights = weights or {}

    def forward(self, embeddings, labels=None, indices_tuple=None, ref_emb=None, ref_labels=None):
        total = embeddings.new_zeros(())
        for name, loss in self.losses.items():
            mined = indices_tuple
            if name in self.miners:
                mined = self.miners[name](embeddings, labels, indices_tuple, ref_emb, ref_labels)
            value = loss(embeddings, labels, mined, ref_emb, ref_labels)
            total = total + self.weights.get(name, 1.0) * value
        return total
