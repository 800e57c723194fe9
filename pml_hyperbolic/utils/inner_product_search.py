"""Search for the largest inner products: FAISS where it is installed, else torch; both exact."""

from collections.abc import Iterator
from typing import Any

import torch

from .._pml import logger
from ..functional.poincare import full_precision
from .lifted_points import slices

_SCORE_BLOCK = 2**23  # scores that the torch search holds at a time
_GPU_MAX_K = 2048  # largest number of results that FAISS selects on a GPU


def inner_product_search(
    left: torch.Tensor, right: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest inner products of each row of ``left`` with the rows of ``right``.

    FAISS searches float32 rows where it is installed (and, for rows on a GPU, was built for GPUs);
    everything else is searched by torch on the device of the rows, in full precision.

    Args:
        left: (N, D) rows.
        right: (M, D) rows of the same dtype, on the same device.
        k: number of results per row, 1 <= k <= M.

    Returns:
        (N, k) inner products, largest first, and (N, k) long indices of rows of ``right``.
    """
    faiss = faiss_or_none() if left.dtype == torch.float32 else None
    if faiss is None or len(left) == 0:
        return _torch_search(left, right, k)
    if left.device.type == "cpu":
        scores, found = faiss.knn(left.numpy(), right.numpy(), k, metric=faiss.METRIC_INNER_PRODUCT)
        return torch.from_numpy(scores), torch.from_numpy(found)
    if left.is_cuda and hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
        if k <= _GPU_MAX_K:
            # This import is what lets knn_gpu take tensors.
            import faiss.contrib.torch_utils

            with torch.cuda.device(left.device):
                return faiss.knn_gpu(
                    faiss.StandardGpuResources(),
                    left,
                    right,
                    k,
                    metric=faiss.METRIC_INNER_PRODUCT,
                    device=left.device.index,
                )
        logger().info(
            "searching with torch instead of FAISS: %d candidates exceed the %d that FAISS can "
            "select on a GPU",
            k,
            _GPU_MAX_K,
        )
    return _torch_search(left, right, k)


def merge_largest(
    pieces: Iterator[tuple[torch.Tensor, torch.Tensor]], count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest ``count`` scores per row of several pieces, largest first, with their indices.

    Args:
        pieces: at least one pair of scores (N, k_i), largest first, with k_i <= count, and their
            indices (N, k_i).
        count: largest number of scores to keep per row.
    """
    scores, found = next(pieces)
    for more_scores, more_found in pieces:
        scores = torch.cat([scores, more_scores], dim=1)
        scores, order = scores.topk(min(count, scores.shape[1]), dim=1)
        found = torch.cat([found, more_found], dim=1).gather(1, order)
    return scores, found


def _torch_search(left, right, k):
    # TF32, bfloat16 products or autocast would break the error bound of the certificate.
    with full_precision(left):
        return merge_largest(_best_of_blocks(left, right, k), k)


def _best_of_blocks(left, right, k):
    for part in slices(len(right), max(k, _SCORE_BLOCK // max(1, len(left)))):
        scores, found = (left @ right[part].T).topk(min(k, part.stop - part.start), dim=1)
        yield scores, found + part.start


def faiss_or_none() -> Any:
    """The FAISS module, or None if it is not installed; a broken installation logs a warning."""
    try:
        import faiss
    except ModuleNotFoundError:
        return None
    except ImportError as error:
        logger().warning(
            "FAISS cannot be imported (%s), searching with torch: "
            "faiss-cpu and faiss-gpu installed together break each other",
            error,
        )
        return None
    return faiss
