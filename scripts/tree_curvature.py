#!/usr/bin/env python
"""Where curvature helps on random trees: ablations/tree.yaml, all rates, scales and seeds at once.

    python scripts/tree_curvature.py --output tree.jsonl                  # every benchmark
    python scripts/tree_curvature.py --output tree.jsonl --only depth_5_dim_2
    python scripts/tree_curvature.py --output tree.jsonl --exchange       # see below
    python scripts/tree_curvature.py --output tree.jsonl --report         # tables in Markdown

`pml-hyperbolic search` and `run` take hours for these 128 pairs of benchmark and method on a core.
Here the heads of all settings and seeds are one batched tensor: the same features, heads, batches,
loss, optimizer and schedule as in the runs, in plain PyTorch. For each method, every pair of rate
and scale trains with the first seed; the best by validation MAP@R of classes trains with all seeds
and is scored on the test classes, on every level.

``--exchange`` trains the ball of c = 0.1 and the flat one on the benchmarks in the file with the
rate and scale of each other, which tells whether they differ by curvature or by their settings.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from pml_hyperbolic.benchmark.assembly.class_sampler import ClassSampler
from pml_hyperbolic.benchmark.assembly.pipeline import Pipeline
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.assembly.schedule import Schedule
from pml_hyperbolic.benchmark.config import BenchmarkConfig, load_benchmarks
from pml_hyperbolic.benchmark.reporting.statistics import mean_interval

CONFIG = Path(__file__).resolve().parents[1] / "benchmark_configs" / "ablations" / "tree.yaml"
# Method of the config -> its curvature; NaN stands for cosine.
CURVATURES = {"cosine": math.nan, "flat": 1e-4, "c_0_1": 0.1, "c_1": 1.0}
CLIP_RADIUS = 2.3
ALPHA, BASE = 2.0, 0.5
TUNING_SEEDS = 1
# Methods that --exchange compares, each with the settings of either.
EXCHANGED = ("c_0_1", "flat")


class Job(NamedTuple):
    """One training run."""

    seed: int
    method: str
    rate: float
    scale: float


class Heads(NamedTuple):
    """Trained heads of J runs: (J, D, F) weights, (J, D) biases, (J,) curvatures."""

    weights: torch.Tensor
    biases: torch.Tensor
    curvatures: torch.Tensor

    def embed(self, run: int, features: torch.Tensor) -> torch.Tensor:
        """Return (1, N, D) vectors of one run for (N, F) normalised features."""
        return (features @ self.weights[run].T + self.biases[run])[None]


class Material(NamedTuple):
    """What the runs of one seed share: features, labels, batches, and each method's first head."""

    features: torch.Tensor
    labels: torch.Tensor
    batches: torch.Tensor
    heads: dict[str, torch.Tensor]


def main() -> int:
    """Run or report the ablation; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="file of results, one a line")
    parser.add_argument("--only", nargs="+", default=[], help="benchmarks, such as depth_5_dim_2")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--exchange", action="store_true", help="train with each other's settings")
    what.add_argument("--report", action="store_true", help="print tables of the results")
    options = parser.parse_args()
    known = []
    if options.report or options.exchange:
        known = [json.loads(line) for line in options.output.read_text().splitlines()]
    if options.report:
        print(report(known))
        return 0
    torch.set_num_threads(1)
    for config in load_benchmarks(CONFIG):
        name = config.name.removeprefix("ablation_tree_")
        of_benchmark = [row for row in known if row["benchmark"] == name]
        if (options.only and name not in options.only) or (options.exchange and not of_benchmark):
            continue
        for all_levels in (False, True):
            if options.exchange:
                found = [row for row in of_benchmark if row["all_levels"] == all_levels]
                rows = exchanged(config, all_levels, found)
            else:
                rows = results(config, all_levels)
            with options.output.open("a") as file:
                for row in rows:
                    file.write(json.dumps({"benchmark": name, **row}) + "\n")
        print(name, flush=True)
    return 0


def prepared(config: BenchmarkConfig):
    """Return the data of a benchmark, their subsets, and seed -> what its runs share."""
    protocol = config.protocol
    data = ProtocolData(protocol)
    subsets = data.fold(protocol.folds[0]).subsets(0.0, 1.0, torch.device("cpu"))
    material = {
        seed: seed_material(config, data, subsets["train"], seed) for seed in protocol.seeds
    }
    return data, subsets, material


def results(config: BenchmarkConfig, all_levels: bool) -> list[dict]:
    """Tune, train and score every method on one benchmark."""
    protocol = config.protocol
    data, subsets, material = prepared(config)
    rates = protocol.optimizer.rate_ranges["head_lr"].extremes
    scales = config.methods["flat"].search["loss.MultiSimilarityLoss.beta"].extremes
    tried = [
        Job(seed, method, rate, scale)
        for seed in protocol.seeds[:TUNING_SEEDS]
        for method in CURVATURES
        for rate in rates
        for scale in scales
    ]
    heads = train(config, material, tried, all_levels)
    features, labels = scored(data, subsets["validation"])
    scores: dict[Job, list[float]] = {}
    for run, job in enumerate(tried):
        score = map_at_r(heads.embed(run, features), heads.curvatures[run], labels[:, :1])[0]
        scores.setdefault(job._replace(seed=-1), []).append(score)
    found = {
        method: max((job for job in scores if job.method == method), key=lambda j: sum(scores[j]))
        for method in CURVATURES
    }
    final = [found[method]._replace(seed=seed) for seed in protocol.seeds for method in CURVATURES]
    heads = train(config, material, final, all_levels)
    features, labels = scored(data, subsets["test"])
    return [
        {
            **job._asdict(),
            "all_levels": all_levels,
            "validation": sum(scores[job._replace(seed=-1)]) / TUNING_SEEDS,
            "test": map_at_r(heads.embed(run, features), heads.curvatures[run], labels),
        }
        for run, job in enumerate(final)
    ]


def exchanged(config: BenchmarkConfig, all_levels: bool, found: list[dict]) -> list[dict]:
    """Train and score the exchanged methods with each other's settings, which ``found`` holds."""
    data, subsets, material = prepared(config)
    settings = {row["method"]: (row["rate"], row["scale"]) for row in own_settings(found)}
    pairs = (EXCHANGED, EXCHANGED[::-1])
    jobs = [
        (Job(seed, method, *settings[other]), other)
        for seed in config.protocol.seeds
        for method, other in pairs
    ]
    heads = train(config, material, [job for job, _ in jobs], all_levels)
    features, labels = scored(data, subsets["test"])
    return [
        {
            **job._asdict(),
            "all_levels": all_levels,
            "settings_of": other,
            "test": map_at_r(heads.embed(run, features), heads.curvatures[run], labels),
        }
        for run, (job, other) in enumerate(jobs)
    ]


def own_settings(rows: list[dict]) -> list[dict]:
    """Return the rows of methods that were trained with the settings found for them."""
    return [row for row in rows if "settings_of" not in row]


def seed_material(config: BenchmarkConfig, data: ProtocolData, train_set, seed: int) -> Material:
    """Return the same batches and first heads as the runs of this seed have."""
    sampler = config.protocol.sampler
    batches = ClassSampler(
        train_set.labels[:, 0],
        sampler.samples_per_class,
        batch_size=sampler.batch_size,
        steps=config.protocol.steps_per_epoch,
        seed=seed,
    )
    heads = {}
    for method in CURVATURES:
        pipeline = Pipeline(data, config.methods[method], method, seed, config.protocol.folds[0])
        heads[method] = pipeline.models["embedder"][-1].weight.detach().clone()
    order = torch.tensor(list(batches)).view(-1, sampler.batch_size)
    return Material(*scored(data, train_set), order, heads)


def scored(data: ProtocolData, subset) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (N, F) features as the head's LayerNorm leaves them, and (N, L) labels."""
    features = torch.from_numpy(data.dataset.features[subset.indices])
    return torch.nn.functional.layer_norm(features, features.shape[1:]), torch.tensor(subset.labels)


def train(
    config: BenchmarkConfig, material: dict[int, Material], jobs: list[Job], all_levels: bool
) -> Heads:
    """Train the heads of all jobs together; none influences another."""
    weights = torch.stack([material[job.seed].heads[job.method] for job in jobs]).requires_grad_()
    biases = torch.zeros(weights.shape[:2], requires_grad=True)
    curvatures = torch.tensor([CURVATURES[job.method] for job in jobs])
    rates = torch.tensor([job.rate for job in jobs])
    scales = torch.tensor([float(job.scale) for job in jobs])
    seeds = sorted({job.seed for job in jobs})
    of_job = torch.tensor([seeds.index(job.seed) for job in jobs])
    # AdamW of torch, but with a rate for each run.
    decay, (first, second), eps = config.protocol.optimizer.weight_decay, (0.9, 0.999), 1e-8
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in (weights, biases)]
    steps = config.protocol.steps_per_epoch
    schedule = Schedule(config.protocol.schedule, 1, steps)
    for step in range(steps):
        rows = [(material[seed], material[seed].batches[step]) for seed in seeds]
        features = torch.stack([one.features[batch] for one, batch in rows])[of_job]
        labels = torch.stack([one.labels[batch] for one, batch in rows])[of_job]
        vectors = features @ weights.mT + biases[:, None]
        similarities = similarity(vectors, curvatures)
        levels = labels if all_levels else labels[..., :1]
        loss = multi_similarity(similarities, levels, scales)
        gradients = torch.autograd.grad(loss.sum(), (weights, biases))
        with torch.no_grad():
            for p, g, (m, v) in zip((weights, biases), gradients, moments, strict=True):
                # A run that diverged stands still, and is not chosen.
                g = torch.nan_to_num(g)
                rate = (rates * schedule.factor(step)).view(-1, *[1] * (p.ndim - 1))
                p.mul_(1 - rate * decay)
                m.mul_(first).add_(g, alpha=1 - first)
                v.mul_(second).addcmul_(g, g, value=1 - second)
                spread = (v / (1 - second ** (step + 1))).sqrt() + eps
                p.sub_(rate * m / (1 - first ** (step + 1)) / spread)
    return Heads(weights.detach(), biases.detach(), curvatures)


def similarity(vectors: torch.Tensor, curvatures: torch.Tensor) -> torch.Tensor:
    """Return (J, N, N) cosines, or bounded similarities of clipped tangent vectors (J, N, D)."""
    c = curvatures[:, None, None]
    is_cosine = c.isnan()
    c = torch.where(is_cosine, 1.0, c)
    root = c.sqrt()
    norm = vectors.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    radius = norm.clamp(max=CLIP_RADIUS)
    points = torch.where(is_cosine, 1.0, torch.tanh(root * radius) / root) * vectors / norm
    products = points @ points.mT
    squares = torch.where(is_cosine, 0.0, (points**2).sum(-1, keepdim=True))
    gaps = (squares + squares.mT - 2 * products).clamp(min=1e-10)
    room = 1 - c * squares
    distances = 2 / root * torch.asinh((c * gaps / (room * room.mT)).sqrt())
    return torch.where(is_cosine, products, 1 - distances / (2 * CLIP_RADIUS))


def multi_similarity(
    similarities: torch.Tensor, labels: torch.Tensor, scales: torch.Tensor
) -> torch.Tensor:
    """Return the (J,) losses of Wang et al., CVPR 2019, summed over the levels of (J, N, L) labels.

    ``similarities`` are (J, N, N); ``scales``, the betas, are (J,).
    """
    pull = (-ALPHA * (similarities - BASE)).exp()
    push = (scales[:, None, None] * (similarities - BASE)).exp()
    others = 1 - torch.eye(similarities.shape[1])
    total = torch.zeros(len(scales))
    for groups in labels.unbind(-1):
        same = (groups[:, :, None] == groups[:, None, :]).float()
        pulled = (pull * (same * others)).sum(-1).log1p() / ALPHA
        pushed = (push * (1 - same)).sum(-1).log1p() / scales[:, None]
        total = total + (pulled + pushed).mean(-1)
    return total


def map_at_r(vectors: torch.Tensor, c: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Return MAP@R of each level; all groups of a level are of one size in these trees."""
    ranked = similarity(vectors, c[None])[0].fill_diagonal_(-math.inf)
    relevant = [int((column == column[0]).sum()) - 1 for column in labels.T]
    order = ranked.topk(max(relevant)).indices
    scores = []
    for column, count in zip(labels.T, relevant, strict=True):
        hits = (column[order[:, :count]] == column[:, None]).double()
        precision = hits.cumsum(1) / torch.arange(1, count + 1)
        scores.append(float((precision * hits).sum(1).mean() / count))
    return scores


def report(rows: list[dict]) -> str:
    """Return a table for each kind of labels and level: means, and differences to the flat ball.

    Where settings were exchanged, one more table has the differences between methods that were
    trained alike.
    """
    lines = []
    tuned = own_settings(rows)
    for all_levels in (False, True):
        for title, level in (
            ("leaves", 0),
            ("lowest inner nodes", 1),
            ("children of the root", -1),
        ):
            lines += [
                "",
                f"Trained on {'all levels' if all_levels else 'leaves'}, MAP@R of {title}:",
                "",
                f"| tree, dimension | {' | '.join(CURVATURES)} | c_0_1 - flat | c_1 - flat |",
                "|---" * (len(CURVATURES) + 3) + "|",
            ]
            for name in sorted({row["benchmark"] for row in tuned}, key=natural):
                mine = {
                    (row["method"], row["seed"]): 100 * row["test"][level]
                    for row in tuned
                    if row["benchmark"] == name and row["all_levels"] == all_levels
                }
                seeds = sorted({seed for _, seed in mine})
                by_method = {m: [mine[m, seed] for seed in seeds] for m in CURVATURES}
                cells = [f"{mean_interval(scores).mean:.1f}" for scores in by_method.values()]
                for curved in ("c_0_1", "c_1"):
                    pairs = zip(by_method[curved], by_method["flat"], strict=True)
                    found = mean_interval([a - b for a, b in pairs])
                    mark = "**" if abs(found.mean) > found.half_width else ""
                    cells.append(f"{mark}{found.mean:+.1f} ± {found.half_width:.1f}{mark}")
                lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    if len(tuned) < len(rows):
        lines += exchange_lines(rows)
    return "\n".join(lines).strip()


def exchange_lines(rows: list[dict]) -> list[str]:
    """Return a table of c_0_1 - flat, both at the settings of c_0_1 / both at those of flat."""
    lines = [
        "",
        "c_0_1 - flat, both at the settings of c_0_1 / both at those of flat:",
        "",
        "| labels, tree, dimension | leaves | lowest inner nodes | children of the root |",
        "|---|---|---|---|",
    ]
    for all_levels in (False, True):
        of_labels = [row for row in rows if row["all_levels"] == all_levels]
        names = {row["benchmark"] for row in of_labels if "settings_of" in row}
        for name in sorted(names, key=natural):
            scores = {
                (row["method"], row.get("settings_of", row["method"]), row["seed"]): row["test"]
                for row in of_labels
                if row["benchmark"] == name
            }
            seeds = sorted({seed for _, _, seed in scores})
            cells = []
            for level in (0, 1, -1):
                halves = []
                for settings in EXCHANGED:
                    curved, flat = (
                        [100 * scores[method, settings, seed][level] for seed in seeds]
                        for method in EXCHANGED
                    )
                    found = mean_interval([a - b for a, b in zip(curved, flat, strict=True)])
                    halves.append(f"{found.mean:+.1f} ± {found.half_width:.1f}")
                cells.append(" / ".join(halves))
            labels = "all levels" if all_levels else "leaves"
            lines.append(f"| {labels}, {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def natural(name: str) -> list[int]:
    """Sort key of depth_5_dim_16: its numbers."""
    return [int(part) for part in name.split("_") if part.isdecimal()]


if __name__ == "__main__":
    sys.exit(main())
