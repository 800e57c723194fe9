"""PoincareKNN: exact nearest neighbours in hyperbolic space.

``certified_search`` derives why the search is exact, and how each answer is certified.
"""

from pathlib import Path

import torch

from .._pml import logger
from ..array_files import read_tensors
from ..checked_files import DamagedFile, open_checked, write_checked
from ..distances import PoincareDistance
from ..file_kinds import UNREADABLE, why_unreadable
from ..functional.validation import check_count
from .certified_search import nearest
from .lifted_points import LiftedPoints, as_rows, check_hyperbolic
from .poincare_kmeans import PoincareKMeans

__all__ = ["PoincareKMeans", "PoincareKNN"]


class PoincareKNN:
    """Exact k nearest neighbours in hyperbolic space, with the interface of PML's ``FaissKNN``.

    Each call runs a flat inner-product search on lifted float32 vectors (FAISS if it is installed,
    else torch), re-ranks the candidates in float64 and certifies the answer to every query;
    ``certified_search`` holds the derivation. Equal distances are ordered by index. A graph or
    quantised index would lose recall here (the norms of lifted vectors spread too far), so that
    FaissKNN's ``index_init_fn`` has no counterpart.

    Args:
        distance: the PoincareDistance or PoincareSimilarity that holds the geometry. Both give
            geodesic distances here, because ``power`` and ``bounded`` do not change a ranking.
        reset_before: whether a call first forgets the stored references. Default True, as FaissKNN.
        reset_after: whether a call forgets them in the end. Default True, as FaissKNN.
        num_candidates: smallest number of candidates to re-rank, >= 1; at least k + 8 + k/8 are
            taken. Default 24 (our choice: at most 1% second looks in our measurements).
        chunk_size: number of references lifted to float32 at a time, >= 1. None (default) lifts
            all of them at once if that takes at most 512 MiB.

    Attributes:
        index: the stored references as :class:`LiftedPoints`, which has FAISS's ``ntotal`` and
            ``d``, or None if there are none.
        second_look_fraction: fraction of the last call's queries that the first search did not
            certify.
        all_certified: whether every answer of the last call was proven exact; True by construction.

    Raises:
        ValueError: an argument is out of range; at call time, non-finite embeddings, wrong shapes,
            ``inputs="ball"`` points outside the ball, no references, or ``k`` larger than their
            number (less one with ``ref_includes_query``).
        TypeError: ``distance`` holds no hyperbolic geometry.

    References are tensors or NumPy arrays, memory-mapped ones included, in any floating dtype. In
    addition to them, a call holds their lifted float32 copy (or one chunk of it) and 32 bytes per
    row.
    """

    def __init__(
        self,
        distance: PoincareDistance,
        *,
        reset_before: bool = True,
        reset_after: bool = True,
        num_candidates: int = 24,
        chunk_size: int | None = None,
    ):
        name = type(self).__name__
        self.distance = check_hyperbolic(name, distance)
        self.num_candidates = check_count(name, "num_candidates", num_candidates)
        self.chunk_size = (
            None if chunk_size is None else check_count(name, "chunk_size", chunk_size)
        )
        self.reset_before = reset_before
        self.reset_after = reset_after
        self.second_look_fraction = 0.0
        self.all_certified = True
        self.index: LiftedPoints | None = None
        self._warned = False

    def __call__(
        self,
        query: torch.Tensor,
        k: int,
        reference: torch.Tensor | None = None,
        ref_includes_query: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The k nearest references of each query.

        Args:
            query: (N, D) raw embeddings, as ``distance`` takes them.
            k: number of neighbours, >= 1.
            reference: (M, D) raw embeddings, added to those that :meth:`train` and :meth:`add`
                stored (and that ``reset_before`` forgets).
            ref_includes_query: whether row i of the references is query i itself, which is then
                left out. Exact duplicates of it stay in.

        Returns:
            (N, k) geodesic distances, nearest first, in the query's dtype (float32 at least), and
            (N, k) long indices of references, both on the query's device.
        """
        query = as_rows("query", query)
        added = None if reference is None else as_rows("reference", reference)
        stored = None if self.reset_before else self.index
        k = check_count(type(self).__name__, "k", k)
        self._check_sizes(query, k, stored, added, ref_includes_query)
        queries = self._points(query)
        references = self._joined(stored, added, keep=not self.reset_after)
        found = nearest(
            queries,
            references,
            k,
            leave_out_own=ref_includes_query,
            num_candidates=self.num_candidates,
            chunk_size=self.chunk_size,
        )
        self.index = None if self.reset_after else references
        self.second_look_fraction = found.second_looks / max(len(query), 1)
        self.all_certified = found.all_certified
        logger().info(
            "%d nearest neighbours by geodesic distance (c=%g): exact, %.2f%% second looks",
            k,
            self.distance.c,
            100 * self.second_look_fraction,
        )
        dtype = torch.promote_types(query.dtype, torch.float32)
        distances = found.geodesic_distances(self.distance.c)
        return distances.to(query.device, dtype), found.indices.to(query.device)

    def train(self, embeddings: torch.Tensor) -> None:
        """Store embeddings (M, D) as the references, in place of any stored before."""
        self.index = self._joined(None, as_rows("embeddings", embeddings), keep=True)

    def add(self, embeddings: torch.Tensor) -> None:
        """Store embeddings (M, D) after those already stored, if any."""
        embeddings = as_rows("embeddings", embeddings)
        self._check_width(embeddings, "embeddings", self.index)
        self.index = self._joined(self.index, embeddings, keep=True)

    def save(self, filename: str) -> None:
        """Write the stored references and their geometry to a file, whole or not at all.

        The file holds plain tensors and numbers (``torch.load(..., weights_only=True)`` reads it):
        the raw embeddings, c, clip_radius, inputs and, if it is smooth, clip. It ends with a
        checksum. Loading rebuilds the lifted vectors.

        Raises:
            ValueError: there are no stored references.
        """
        if self.index is None:
            raise ValueError("there are no references to save: train() or add() some first")
        content = {"geometry": self._geometry(), "embeddings": self.index.raw}
        write_checked(Path(filename), lambda file: torch.save(content, file))

    def load(self, filename: str) -> None:
        """Replace the stored references by those of a file that :meth:`save` wrote.

        Raises:
            ValueError: the file is damaged, was not written by :meth:`save`, or under another
                geometry.
        """
        try:
            with open_checked(Path(filename)) as file:
                content = read_tensors(file, device=None)
        except DamagedFile as error:
            raise ValueError(
                f"{filename} is damaged ({error}): save the references again"
            ) from error
        except OSError:
            raise
        except UNREADABLE as error:
            raise ValueError(
                f"{filename} was not written by {type(self).__name__}.save() "
                f"({why_unreadable(Path(filename), error)}): save the references again"
            ) from error
        if not isinstance(content, dict) or set(content) != {"geometry", "embeddings"}:
            raise ValueError(
                f"{filename} was not written by {type(self).__name__}.save(), which stores a "
                f"geometry and embeddings: save the references again"
            )
        if content["geometry"] != self._geometry():
            raise ValueError(
                f"{filename} was saved under {content['geometry']}, but this "
                f"{type(self).__name__} has {self._geometry()}: build it with the file's geometry"
            )
        self.index = self._points(_stored_rows(filename, content["embeddings"]))

    def reset(self) -> None:
        """Forget the stored references."""
        self.index = None

    def _geometry(self):
        distance = self.distance
        clips = distance.inputs == "tangent"
        return {
            "c": distance.c,
            "clip_radius": distance.clip_radius if clips else None,
            "inputs": distance.inputs,
            # Files of hard clips are those from before there was a choice.
            **({"clip": distance.clip} if distance.clip != "hard" else {}),
        }

    def _check_sizes(self, query, k, stored, added, ref_includes_query):
        self._check_width(query, "query", stored)
        if added is not None:
            self._check_width(added, "reference", stored)
            if added.shape[1] != query.shape[1]:
                raise ValueError(
                    f"query and reference must have the same number of columns, "
                    f"got {tuple(query.shape)} and {tuple(added.shape)}"
                )
        count = sum(len(rows) for rows in (stored, added) if rows is not None)
        if count == 0:
            raise ValueError(
                "there are no references to search: pass reference=, or, to search what train() "
                "or add() stored, use PoincareKNN(distance, reset_before=False, reset_after=False)"
            )
        if ref_includes_query and len(query) > count:
            raise ValueError(
                f"ref_includes_query=True needs the queries to be the first references, "
                f"got {len(query)} queries and {count} references"
            )
        if k > count - ref_includes_query:
            raise ValueError(
                f"k must be at most {count - ref_includes_query} for {count} references"
                f"{', of which the query itself is left out' if ref_includes_query else ''}, "
                f"got {k}: lower k or add references"
            )

    @staticmethod
    def _check_width(rows, name, stored):
        if stored is not None and rows.shape[1] != stored.d:
            raise ValueError(
                f"the stored references have {stored.d} columns, "
                f"got {name} of shape {tuple(rows.shape)}"
            )

    def _points(self, raw):
        points = LiftedPoints(raw, self.distance)
        unit = self.distance.inputs == "tangent" and len(raw) > 1 and not self._warned
        # 1e-3, because rows normalised in half precision are no closer to 1.
        if unit and bool(((points.norm - 1).abs() < 1e-3).all()):
            self._warned = True
            logger().warning(
                "All %d embeddings have unit L2 norm: if the model, tester or InferenceModel "
                "normalises them (normalize_embeddings=True), their hyperbolic radius is lost",
                len(raw),
            )
        return points

    def _joined(self, stored, added, keep):
        """Stored and added references together; a copy of the caller's tensor if it is kept."""
        if added is None:
            return stored
        if stored is not None:
            added = torch.cat([stored.raw, added.to(stored.raw.device, stored.raw.dtype)])
        elif keep:
            added = added.clone()
        return self._points(added)


def _stored_rows(filename, rows):
    """The embeddings of a file, if they can be references; the first bad row is named."""
    try:
        rows = as_rows("embeddings", rows)
    except ValueError as error:
        raise ValueError(f"{filename}: {error}: save real embeddings again") from None
    bad = (~torch.isfinite(rows).all(dim=1)).nonzero()
    if len(bad):
        raise ValueError(
            f"{filename}: row {int(bad[0])} of {len(rows)} embeddings holds NaN or infinite "
            f"values, expected finite ones: save the references again"
        )
    return rows
