"""The section that lets others repeat a benchmark: protocol, differences, versions, commands."""

from collections.abc import Sequence

from ..config.yaml_files import dump_yaml
from ..packages import package_versions
from ..reporting.benchmark_results import BenchmarkResults
from ..reporting.cells import NOTHING
from ..reporting.tables import Table
from .section import Section


def protocol_section(
    results: BenchmarkResults, reservations: Sequence[str], command: str | None
) -> Section:
    """Return the protocol in full, declared differences, hashes, versions and the commands.

    Args:
        results: all runs.
        reservations: overridden checks, declared exceptions, and what could not be checked.
        command: that made the page, if a command did.
    """
    environments = [run.environment for run in results.runs]
    commands = list(dict.fromkeys(e.command for e in environments if e.command))
    problems = []
    if any(e.command is None for e in environments):
        problems.append(
            "Some runs did not record the command that made them; their settings are those below."
        )
    if not results.configs:
        problems.append("There is no benchmark.yaml beside these runs: their protocol is unknown.")
    return Section(
        "protocol",
        "Protocol",
        sentences=[
            "All methods share the protocol: data, split, network, batches, augmentation, "
            "optimizer, schedule, selection and seeds. They differ in loss, miner, regularizer, "
            f"head and {_own_rates(results)}.",
            *(reservations or ["No method declares a difference, and no check was overridden."]),
        ],
        problems=problems,
        tables=[_hashes(results)],
        commands=[*commands, *([command] if command and command not in commands else [])],
        details=_details(results, environments),
    )


def _own_rates(results):
    """Name the learning rates in which methods may differ, in words."""
    parts = {"head_lr": "the head", "trunk_lr": "the trunk"}
    tuned = [name for key, name in parts.items() if key in results.tuned_rates]
    if not tuned:
        return "the learning rate of the loss's own parameters"
    return f"the learning rates of {', '.join(tuned)} and the loss's own parameters"


def _details(results, environments):
    """Title -> YAML of each protocol and of the settings of each method, and versions."""
    details = {}
    for config in results.configs:
        name = config.get("name", "the benchmark")
        details[f"Protocol of {name}"] = dump_yaml(config.get("protocol") or {})
        for method, settings in (config.get("methods") or {}).items():
            details[f"Settings of {method} in {name}"] = dump_yaml(settings)
    details["Versions of packages"] = _versions(environments)
    return details


def _hashes(results):
    """What identifies protocol, data and settings of each method."""
    rows = []
    for method in results.methods:
        runs = results.of_method(method)
        commits = sorted({run.environment.git_commit or NOTHING for run in runs})
        first, keys = runs[0].first, [run.key for run in runs]
        rows.append(
            [
                method,
                first.protocol_hash,
                first.data or NOTHING,
                first.method_hash or NOTHING,
                ", ".join(commit[:12] for commit in commits),
                _listed(fold for fold, _ in keys),
                _listed(seed for _, seed in keys),
            ]
        )
    header = ["method", "protocol", "data", "settings", "commit", "folds", "seeds"]
    return Table("Hashes", header, rows)


def _listed(numbers):
    return ", ".join(map(str, sorted(set(numbers))))


def _versions(environments):
    """The versions of packages that the runs used and those that made the page, as text."""
    found: dict[str, set[str]] = {}
    for environment in environments:
        for name, version in (environment.packages or {}).items():
            found.setdefault(name, set()).add(version)
    here = package_versions()
    rows = [
        (name, ", ".join(sorted(versions)), here.get(name, NOTHING))
        for name, versions in found.items()
    ]
    lines = [("package", "runs", "this page"), *rows]
    widths = [max(len(cells[i]) for cells in lines) for i in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in lines
    )
