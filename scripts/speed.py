#!/usr/bin/env python
"""Measure every hyperbolic operation beside its Euclidean counterpart and print the ratios.

    python scripts/speed.py                     # all measurements, on the CPU with two threads
    python scripts/speed.py pairs hier          # some of them
    python scripts/speed.py --device cuda
    python scripts/speed.py --write-docs        # and update the table in docs/speed.md

The sides of a comparison are measured alternately, and their medians are compared; ratios are
formed within one run only. Peak memory is what a call allocates beyond its inputs; for searches on
the CPU it is the growth of the process.
"""

import argparse
import contextlib
import ctypes
import json
import math
import os
import platform
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import MultiSimilarityLoss, SoftTripleLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from pytorch_metric_learning.utils.inference import FaissKNN

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.functional import poincare_cdist, tangent_cdist, to_poincare_ball
from pml_hyperbolic.losses import CHESTLoss, HIERLoss, HypLoss
from pml_hyperbolic.regularizers import HypHCRegularizer
from pml_hyperbolic.utils.retrieval import PoincareKNN

C, CLIP_RADIUS = 0.1, 2.3
PAGE = Path(__file__).parent.parent / "docs" / "speed.md"
PAGE_MARKS = "<!-- speed table: scripts/speed.py --write-docs -->", "<!-- end -->"
Sides = dict[str, Callable[[], object]]


def main() -> int:
    """Run the chosen measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"some of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--rounds", type=int, default=25, help="rounds of each side (default 25)")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile as well")
    parser.add_argument("--references", type=int, default=20_000, help="to search (20000)")
    parser.add_argument("--json", type=Path, help="write figures, machine and versions here")
    parser.add_argument("--write-docs", action="store_true", help="update docs/speed.md's table")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {options.device}: torch sees no CUDA device here, use cpu")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    rows = []
    for part in options.parts or PARTS:
        for title, baseline, sides, rounds in PARTS[part](options):
            rows.extend(measure(part, title, baseline, sides, rounds, options.device))
            print(markdown(rows[-len(sides) :], header=len(rows) == len(sides)), flush=True)
    report = {"machine": machine(options), "rows": rows}
    print(f"\n{describe(report['machine'])}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.write_docs:
        write_docs(rows, report["machine"])
    return 0


def measure(
    part: str, title: str, baseline: str, sides: Sides, rounds: int, device: str
) -> list[dict]:
    """Measure all sides, one row each: median time and peak memory relative to ``baseline``."""
    for call in sides.values():
        call()
        call()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            times[name].append(time.perf_counter() - start)
    # FAISS does not allocate through torch, so its memory on the CPU is that of the process.
    peak = peak_resident if part == "search" and device == "cpu" else peak_memory
    memory = {name: peak(call, device) for name, call in sides.items()}
    base_time, base_memory = statistics.median(times[baseline]), memory[baseline]
    return [
        {
            "part": part,
            "work": title,
            "side": name,
            "milliseconds": 1e3 * statistics.median(times[name]),
            "fastest_milliseconds": 1e3 * min(times[name]),
            "time_ratio": statistics.median(times[name]) / base_time,
            "fastest_ratio": min(times[name]) / min(times[baseline]),
            "peak_mebibytes": memory[name] / 2**20,
            "memory_ratio": memory[name] / base_memory if base_memory else math.nan,
            "baseline": baseline,
        }
        for name in sides
    ]


def synchronize(device: str) -> None:
    """Wait for the device, so that a clock reads finished work."""
    if device != "cpu":
        torch.cuda.synchronize()


def peak_memory(call: Callable[[], object], device: str) -> int:
    """Return the peak of the bytes that ``call`` allocates for tensors."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    # The profiler does not see it if memory from before its first use is freed, such as that of the
    # last call's gradients: only the second of two calls begins and ends with the same tensors.
    for _ in range(2):
        with quiet_stderr(), torch.profiler.profile(profile_memory=True) as profile:
            call()
    held = peak = 0
    events = profile.profiler.kineto_results.events()
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def peak_resident(call: Callable[[], object], device: str) -> int:
    """Return by how many bytes the process grows during ``call``, sampled every millisecond."""
    statm, page = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")
    if not statm.exists():
        return 0
    with contextlib.suppress(OSError, AttributeError):
        # Memory that glibc holds without need would hide what the call takes.
        ctypes.CDLL(None).malloc_trim(0)
    done = threading.Event()
    seen = [int(statm.read_text().split()[1])]

    def watch():
        while not done.wait(1e-3):
            seen.append(int(statm.read_text().split()[1]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return (max(seen) - seen[0]) * page


def backward(function: Callable[..., torch.Tensor], *leaves: torch.Tensor) -> Callable[[], None]:
    """Return a call of forward and backward, with fresh gradients and a fixed upstream gradient."""
    with torch.no_grad():
        upstream = torch.randn_like(function(*leaves))

    def call():
        for leaf in leaves:
            leaf.grad = None
        function(*leaves).backward(upstream)

    return call


def ball_points(n: int, d: int, device: str, close: float = 0.0) -> torch.Tensor:
    """(n, d) points of moderate radius; a fraction ``close`` of the pairs lies close together."""
    tangent = torch.randn(n, d) * (1.5 / math.sqrt(d))
    if close:
        # Groups of n * close points share a direction, as the classes of a trained embedding do.
        groups = torch.arange(n) // max(1, round(n * close))
        tangent = tangent[groups] + 0.1 * tangent
    return to_poincare_ball(tangent, c=C, clip_radius=CLIP_RADIUS).to(device).requires_grad_()


def naive_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """All-pairs distances by Moebius addition on an (N, M, D) tensor, as in published code."""
    x, y = x.unsqueeze(1), y.unsqueeze(0)
    xy, xx, yy = -(x * y).sum(-1), (x * x).sum(-1), (y * y).sum(-1)
    top = (1 + 2 * C * xy + C * yy).unsqueeze(-1) * -x + (1 - C * xx).unsqueeze(-1) * y
    sum_ = top / (1 + 2 * C * xy + C * C * xx * yy).unsqueeze(-1)
    return 2 / math.sqrt(C) * torch.atanh(math.sqrt(C) * sum_.norm(dim=-1).clamp(1e-6))


def measure_pairs(options) -> Iterator[tuple[str, str, Sides, int]]:
    """All-pairs distances, forward and backward to both sides."""
    device = options.device
    with warnings.catch_warnings():
        # geoopt decorates its mathematics with torch.jit.script at import.
        warnings.simplefilter("ignore", FutureWarning)
        manifold = PoincareDistance(C).manifold.to(device=device, dtype=torch.float32)
    for n, m, d, large in ((602, 602, 128, False), (180, 22_636, 512, True)):
        x, y = ball_points(n, d, device), ball_points(m, d, device)
        near_x, near_y = ball_points(n, d, device, 0.05), None
        near_y = near_x.detach()[torch.arange(m) % n].clone()
        near_y = (near_y + 1e-3 * torch.randn_like(near_y)).requires_grad_()
        sides = {
            "torch.cdist": backward(torch.cdist, x, y),
            "cosine (matrix product)": backward(lambda a, b: a @ b.T, x, y),
            "poincare_cdist": backward(lambda a, b: poincare_cdist(a, b, c=C), x, y),
            "poincare_cdist, refine=False": backward(
                lambda a, b: poincare_cdist(a, b, c=C, refine=False), x, y
            ),
            "poincare_cdist, 5% of the pairs close": backward(
                lambda a, b: poincare_cdist(a, b, c=C), near_x, near_y
            ),
        }
        if options.compile:
            compiled = torch.compile(lambda a, b: poincare_cdist(a, b, c=C, refine=False))
            sides["poincare_cdist, compiled"] = backward(compiled, x, y)
        yield f"all pairs {n} x {m} x {d}", "torch.cdist", sides, options.rounds
        if not large:
            sides = {
                "torch.cdist": backward(torch.cdist, x, y),
                "geoopt broadcast": backward(lambda a, b: manifold.dist(a[:, None], b), x, y),
                "naive Moebius broadcast": backward(naive_distance, x, y),
            }
            yield f"all pairs {n} x {m} x {d}, N x M x D", "torch.cdist", sides, 3


def measure_clip(options) -> Iterator[tuple[str, str, Sides, int]]:
    """All-pairs distances of tangent vectors, mapped with the hard and with the smooth clip."""
    for n, m, d in ((602, 602, 128), (180, 22_636, 512)):
        # A third of the vectors lies beyond the clip radius.
        x, y = (
            (torch.randn(rows, d) * (1.5 * CLIP_RADIUS * torch.rand(rows, 1) / math.sqrt(d)))
            .to(options.device)
            .requires_grad_()
            for rows in (n, m)
        )
        sides = {
            f"{clip} clip": backward(
                lambda a, b, clip=clip: tangent_cdist(
                    a, b, c=C, clip_radius=CLIP_RADIUS, clip=clip
                ),
                x,
                y,
            )
            for clip in ("hard", "smooth")
        }
        title = f"all pairs of tangent vectors {n} x {m} x {d}"
        yield title, "hard clip", sides, options.rounds


def measure_hyp(options) -> Iterator[tuple[str, str, Sides, int]]:
    """One step of Hyp's loss on nine views of a hundred classes, as its authors train CUB-200."""
    views, classes, d = 9, 100, 128
    labels = torch.arange(classes, device=options.device).repeat_interleave(views)
    embeddings = torch.randn(len(labels), d, device=options.device, requires_grad=True)

    def step(loss):
        def call():
            embeddings.grad = None
            loss(embeddings, labels).backward()

        return call

    sides = {
        "HypLoss, cosine": step(HypLoss(0.1, distance=CosineSimilarity())),
        "HypLoss, PoincareDistance": step(HypLoss()),
    }
    title = f"Hyp step: {classes} classes, {views} views, dim {d}"
    yield title, "HypLoss, cosine", sides, options.rounds


def measure_hier(options) -> Iterator[tuple[str, str, Sides, int]]:
    """One HIER step from embeddings to gradients, at the sizes of the authors' scripts."""
    n, d, device = 90, 128, options.device
    labels = torch.arange(45, device=device).repeat_interleave(2)
    embeddings = torch.randn(n, d, device=device, requires_grad=True)
    loss = HIERLoss(d, 512).to(device)

    def step(function):
        def call():
            embeddings.grad = loss.proxies.grad = None
            function(embeddings, labels).backward()

        return call

    sides = {
        "plain vectorised autograd": step(lambda x, y: naive_hier(loss, x, y)),
        "HIERLoss": step(loss),
    }
    title = "HIER step: batch 90, dim 128, 512 proxies, k 20, 50 triplets an anchor"
    yield title, "plain vectorised autograd", sides, max(3, options.rounds // 3)


def naive_hier(loss: HIERLoss, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """HIER with Gumbel noise for every proxy of every triplet, differentiated by autograd."""
    from pml_hyperbolic.functional import reciprocal_neighbor_triplets

    total = 0
    for rows, same in ((embeddings, labels[:, None] == labels), (loss.proxies, 0)):
        with torch.no_grad():
            relevance = torch.exp(-loss.distance(rows)) + same
        distances = loss.distance(rows, loss.proxies)
        i, j, k = reciprocal_neighbor_triplets(relevance, k=20, triplets_per_anchor=50)
        d_i, d_j, d_k = distances[i], distances[j], distances[k]
        pair = torch.maximum(d_i, d_j)
        a, b = (
            torch.nn.functional.gumbel_softmax(-far / loss.temperature, hard=True)
            for far in (pair, torch.maximum(pair, d_k))
        )
        hinges = [
            torch.relu((dist * (p - q)).sum(1) + loss.hier_margin)
            for dist, p, q in ((d_i, a, b), (d_j, a, b), (d_k, b, a))
        ]
        total = total + (sum(hinges) * (a.argmax(1) != b.argmax(1))).mean()
    return total


def measure_chest(options) -> Iterator[tuple[str, str, Sides, int]]:
    """CHEST's hyperbolic branch and its cosine branch, at the size of Stanford Online Products."""
    n, classes, d, device = 180, 11_318, 512, options.device
    labels = torch.randint(classes, (n,), device=device)
    embeddings = torch.randn(n, d, device=device, requires_grad=True)
    cosine = SoftTripleLoss(classes, d, centers_per_class=2).to(device)
    curved = SoftTripleLoss(classes, d, centers_per_class=2, distance=PoincareSimilarity())
    # Proxies start as in CHESTLoss: apart, and most of them inside the clip radius.
    torch.nn.init.normal_(curved.fc, std=curved.distance.initial_radius / math.sqrt(d))
    curved = curved.to(device)

    def step(loss):
        def call():
            embeddings.grad = loss.fc.grad = None
            loss(embeddings, labels).backward()

        return call

    sides = {"SoftTriple, cosine": step(cosine), "SoftTriple, PoincareSimilarity": step(curved)}
    if options.compile:
        sides["the same, compiled"] = step(torch.compile(curved))
    yield (
        "CHEST's hyperbolic branch: batch 180, 11,318 classes x 2, dim 512",
        "SoftTriple, cosine",
        sides,
        options.rounds,
    )
    regularizer = HypHCRegularizer()
    small, large = (
        (torch.randn(d, count, device=device) * 0.1).requires_grad_()
        for count in (400, 2 * classes)
    )

    def regularize(weights):
        def call():
            weights.grad = None
            regularizer(weights.t()).backward()

        return call

    sides = {"400 proxies": regularize(small), "22,636 proxies": regularize(large)}
    yield "HypHC, 2000 triplets, dim 512", "400 proxies", sides, options.rounds


def measure_search(options) -> Iterator[tuple[str, str, Sides, int]]:
    """Exact hyperbolic search and FAISS's flat L2 search of the same vectors."""
    n, d, k = options.references, 512, 10
    for title, radius in (("clipped", None), ("radii mixed up to 0.999", 0.999)):
        if radius is None:
            vectors, knn = torch.randn(n, d), PoincareKNN(PoincareDistance(C, CLIP_RADIUS))
        else:
            vectors = torch.nn.functional.normalize(torch.randn(n, d))
            vectors *= radius * torch.rand(n, 1)
            knn = PoincareKNN(PoincareDistance(1.0, None, inputs="ball"))
        vectors = vectors.to(options.device)
        flat = FaissKNN()
        sides = {
            "FaissKNN (L2)": lambda v=vectors, f=flat: f(v, k, v, True),
            "PoincareKNN": lambda v=vectors, f=knn: f(v, k, v, True),
        }
        yield f"search {n} x {n} x {d}, {title}", "FaissKNN (L2)", sides, 3
        print(f"second looks: {100 * knn.second_look_fraction:.2f}% of the queries; every answer")
        print(f"certified: {knn.all_certified}")


def measure_step(options) -> Iterator[tuple[str, str, Sides, int]]:
    """Miner, loss and regularizer of a training step, and its network, forward and backward."""
    import timm

    size, device = (90, options.device) if options.device != "cpu" else (32, "cpu")
    labels = torch.arange(size // 2, device=device).repeat_interleave(2)
    images = torch.randn(size, 3, 224, 224, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    for name in ("resnet50", "vit_small_patch16_224"):
        trunk = timm.create_model(name, num_classes=512).to(device)
        trunk = trunk.to(memory_format=torch.channels_last)
        embeddings = torch.randn(size, 512, device=device, requires_grad=True)

        def network(trunk=trunk):
            trunk(images).square().mean().backward()

        distance = PoincareDistance()
        metric = MultiSimilarityLoss(distance=distance)
        miner = MultiSimilarityMiner(distance=distance)
        hier = HIERLoss(512, distance=distance).to(device)
        chest = CHESTLoss(100, 256, 256, hierarchy_weight=1).to(device)

        def hierarchical(embeddings=embeddings, metric=metric, miner=miner, hier=hier):
            pairs = miner(embeddings, labels)
            (metric(embeddings, labels, pairs) + 0.5 * hier(embeddings, labels)).backward()

        def two_spaces(embeddings=embeddings, chest=chest):
            chest(embeddings, labels).backward()

        sides = {
            "network": network,
            "miner, MultiSimilarity and HIER": hierarchical,
            "CHEST, 100 classes": two_spaces,
        }
        yield f"training step, {name}, {size} images of 224 px", "network", sides, 3


PARTS = {
    "pairs": measure_pairs,
    "clip": measure_clip,
    "hyp": measure_hyp,
    "hier": measure_hier,
    "chest": measure_chest,
    "search": measure_search,
    "step": measure_step,
}


def machine(options) -> dict:
    """Return the hardware, settings and versions on which the figures depend."""
    name = torch.cuda.get_device_name() if options.device != "cpu" else processor()
    return {
        "device": name,
        "threads": options.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """Return the name of the CPU."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe(facts: dict) -> str:
    """Describe machine, versions and procedure in one line."""
    return (
        f"{facts['device']}, {facts['threads']} threads, torch {facts['torch']}, "
        f"Python {facts['python']}, {facts['date']}; forward and backward in float32, medians of "
        f"alternating rounds."
    )


def markdown(rows: list[dict], *, header: bool = True) -> str:
    """Format rows as a Markdown table."""
    lines = ["| work | side | time | x | memory | x |", "|---|---|--:|--:|--:|--:|"] * header
    for row in rows:
        lines.append(
            f"| {row['work']} | {row['side']} | {row['milliseconds']:.1f} ms | "
            f"{row['time_ratio']:.2f} | {row['peak_mebibytes']:.0f} MiB | "
            f"{row['memory_ratio']:.2f} |"
        )
    return "\n".join(lines)


def write_docs(rows: list[dict], facts: dict) -> None:
    """Replace the table between the markers in docs/speed.md."""
    text = PAGE.read_text()
    start, end = PAGE_MARKS
    head, _, rest = text.partition(start)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(
            f"docs/speed.md has no '{start}' ... '{end}' between which to write the table"
        )
    PAGE.write_text(f"{head}{start}\n{markdown(rows)}\n\n{describe(facts)}\n{end}{tail}")


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Suppress what torch's profiler writes to the terminal when it starts and stops."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


if __name__ == "__main__":
    sys.exit(main())
