"""Checks that runs can be compared. A report records every check that is overridden."""

from collections.abc import Collection

from ...errors import InputError
from .benchmark_results import BenchmarkResults

# Packages of which another version may give other numbers.
COMPARED_PACKAGES = (
    "torch",
    "pytorch-metric-learning",
    "pml_hyperbolic",
    "timm",
    "torchvision",
    "geoopt",
    "numpy",
    "faiss-cpu",
    "faiss-gpu",
)


def check_comparable(results: BenchmarkResults, allowed: Collection[str] = ()) -> list[str]:
    """Refuse runs whose numbers do not belong in one table.

    Args:
        results: the runs.
        allowed: keys of ``CHECKS`` whose findings are noted instead of refused. Default none.

    Returns:
        Notes for the report: every override that was needed, every declared exception, and what
        could not be checked.

    Raises:
        InputError: a check that is not allowed fails, or the runs of a method have different
            settings, which cannot be allowed.
    """
    _check_settings(results)
    notes = []
    for kind, (check, advice) in CHECKS.items():
        problem = check(results)
        if problem is None:
            continue
        if kind not in allowed:
            raise InputError(f"{problem}: {advice}, or pass --allow {kind}")
        notes.append(f"Check overridden ({kind}): {problem}.")
    return notes + _declared(results) + _unchecked(results)


def _check_settings(results):
    for method in results.methods:
        found: dict = {}
        for run in results.of_method(method):
            found.setdefault(run.first.method_hash, run.folder)
        if len(found) > 1:
            raise InputError(
                f"runs of {method} have different settings, {_with_places(found)}: their mean is "
                f"meaningless, so leave one of them out"
            )


def _protocols(results):
    found: dict = {}
    for run in results.runs:
        for row in run.rows:
            found.setdefault(row.protocol_hash, run.folder)
    if len(found) > 1:
        return f"these runs followed different protocols, {_with_places(found)}"
    return None


def _data(results):
    found: dict = {}
    for run in results.runs:
        for row in run.rows:
            if row.data is not None:
                found.setdefault(row.data, run.folder)
    if len(found) > 1:
        return f"these runs used different data, {_with_places(found)}"
    return None


def _versions(results):
    versions: dict[str, dict] = {name: {} for name in COMPARED_PACKAGES}
    for run in results.runs:
        environment = run.environment
        # A resumed run may have begun with other packages.
        for packages in (environment.packages, environment.begun_with):
            if packages is None:
                continue
            for name in COMPARED_PACKAGES:
                versions[name].setdefault(packages.get(name, "none"), run.folder)
    differing = {name: found for name, found in versions.items() if len(found) > 1}
    if not differing:
        return None
    texts = [f"{name} {_with_places(found)}" for name, found in differing.items()]
    return f"these runs used different versions of packages, {'; '.join(texts)}"


def _parameters(results):
    budgets = {
        method: budget
        for method, budget in _budgets(results).items()
        if not results.setting(method, "different_parameters")
    }
    if len(set(budgets.values())) < 2:
        return None
    return f"methods have different numbers of parameters in trunk and head, {_pairs(budgets)}"


def _seeds(results):
    keys = {method: {run.key for run in results.of_method(method)} for method in results.methods}
    everything = set().union(*keys.values())
    grid = {(fold, seed) for fold, _ in everything for _, seed in everything}
    lacking = [
        f"{method} lacks fold {fold}, seed {seed}"
        + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        for method, found in keys.items()
        if (missing := sorted(grid - found))
        for fold, seed in missing[:1]
    ]
    if not lacking:
        return None
    return f"not all methods have all folds and seeds, {'; '.join(lacking)}"


def _trials(results):
    trials = {
        method: results.setting(method, "search_trials") or 0
        for method in results.methods
        if not results.setting(method, "different_search_trials")
    }
    if len(set(trials.values())) < 2:
        return None
    return f"methods were tuned with different numbers of search trials, {_pairs(trials)}"


# Kind of finding -> (its check, advice on how to fix it).
CHECKS = {
    "protocols": (_protocols, "their numbers cannot be compared, so report them separately"),
    "data": (_data, "run all of them on the same files"),
    "versions": (_versions, "run all of them with the same packages"),
    "parameters": (
        _parameters,
        "give them equal heads, or set different_parameters: true in a method's config",
    ),
    "seeds": (_seeds, "finish them with `pml-hyperbolic run`"),
    "trials": (
        _trials,
        "tune all methods by `pml-hyperbolic search` with the same number of trials",
    ),
}


def _budgets(results):
    """Return the numbers of parameters in trunk and head of the methods that recorded them."""
    budgets: dict[str, int] = {}
    for run in results.runs:
        if run.first.parameters is not None:
            budgets.setdefault(run.method, run.first.parameters.budget)
    return budgets


def _declared(results):
    budgets = _budgets(results)
    notes = [
        f"{method} declares different_parameters: {budgets[method]} in trunk and head."
        for method in budgets
        if results.setting(method, "different_parameters")
    ]
    for method in results.methods:
        if results.setting(method, "different_search_trials"):
            trials = results.setting(method, "search_trials") or 0
            notes.append(f"{method} declares different_search_trials: {trials}.")
    return notes


def _unchecked(results):
    notes = []
    if results.unfinished:
        names = ", ".join(f"{run.parent.name} {run.name}" for run in results.unfinished[:3])
        more = f" and {len(results.unfinished) - 3} more" if len(results.unfinished) > 3 else ""
        notes.append(f"Unfinished runs are left out: {names}{more}.")
    environments = [run.environment for run in results.runs]
    unknown = sum(environment.packages is None for environment in environments)
    if unknown:
        notes.append(f"The package versions of {unknown} of {len(environments)} runs are unknown.")
    commits = {e.git_commit for e in environments if e.git_commit}
    if len(commits) > 1:
        notes.append(f"The runs were made at {len(commits)} different commits.")
    machines = {e.machine for e in environments if e.machine is not None}
    if len(machines) > 1:
        notes.append(
            f"The runs were made on different machines ({'; '.join(sorted(machines))}): their "
            f"seconds are not comparable, and rounding differs."
        )
    silent = [m for m in results.methods if m not in _budgets(results)]
    if silent:
        which = "all" if silent == results.methods else ", ".join(silent)
        notes.append(f"The numbers of parameters are unknown for: {which}.")
    return notes


def _with_places(found):
    return " and ".join(f"{value} ({place})" for value, place in found.items())


def _pairs(values):
    return ", ".join(f"{name} {value}" for name, value in values.items())
