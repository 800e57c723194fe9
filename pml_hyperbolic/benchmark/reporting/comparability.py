"""What makes runs incomparable: refused, unless allowed, and what is allowed is written down."""

from collections.abc import Collection

from ...errors import InputError
from .benchmark_results import BenchmarkResults

# Of these, another version may give other numbers.
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
    """Refuse runs whose numbers should not stand in one table.

    Args:
        results: the runs.
        allowed: keys of ``CHECKS`` whose findings are noted instead of refused. Default none.

    Returns:
        Sentences for the report's notes: every override that was needed, every declared exception
        and what could not be checked.

    Raises:
        InputError: the first finding that is not allowed, with its override; or runs of one method
            under different settings, which nothing allows.
    """
    _check_settings(results)
    notes = []
    for kind, (check, advice) in CHECKS.items():
        problem = check(results)
        if problem is None:
            continue
        if kind not in allowed:
            raise InputError(f"{problem}: {advice}, or put up with it by --allow {kind}")
        notes.append(f"Check overridden ({kind}): {problem}.")
    return notes + _declared(results) + _unchecked(results)


def _check_settings(results):
    for method in results.methods:
        found: dict = {}
        for run in results.of_method(method):
            found.setdefault(run.rows[0].get("method_hash"), run.folder)
        if len(found) > 1:
            raise InputError(
                f"runs of {method} have different settings, {_with_places(found)}: a mean over "
                f"them means nothing, leave one out"
            )


def _protocols(results):
    found: dict = {}
    for run in results.runs:
        for row in run.rows:
            found.setdefault(row["protocol_hash"], run.folder)
    if len(found) > 1:
        return f"these runs followed different protocols, {_with_places(found)}"
    return None


def _data(results):
    found: dict = {}
    for run in results.runs:
        for row in run.rows:
            if "data" in row:
                found.setdefault(row["data"], run.folder)
    if len(found) > 1:
        return f"these runs saw different data, {_with_places(found)}"
    return None


def _versions(results):
    versions: dict[str, dict] = {name: {} for name in COMPARED_PACKAGES}
    for run in results.runs:
        environment = run.environment
        # A run that was resumed may have begun with others.
        for packages in (environment.get("packages"), environment.get("begun_with")):
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


# Kind of finding -> what looks for it, and how to mend it.
CHECKS = {
    "protocols": (_protocols, "their numbers cannot be compared, report them one by one"),
    "data": (_data, "run them all on the same files"),
    "versions": (_versions, "run them all with one set of packages"),
    "parameters": (
        _parameters,
        "give them equal heads, or say different_parameters: true in a method's config",
    ),
    "seeds": (_seeds, "let `pml-hyperbolic run` finish them"),
    "trials": (_trials, "tune all with the same number by `pml-hyperbolic search`"),
}


def _budgets(results):
    """Parameters of trunk and head of each method that tells them."""
    budgets = {}
    for run in results.runs:
        parameters = run.rows[0].get("parameters")
        if parameters:
            budgets.setdefault(run.method, parameters["trunk"] + parameters["head"])
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
    environments = [run.environment for run in results.runs]
    unknown = sum("packages" not in environment for environment in environments)
    if unknown:
        notes.append(f"Package versions of {unknown} of {len(environments)} runs are not known.")
    commits = {e["git_commit"] for e in environments if e.get("git_commit")}
    if len(commits) > 1:
        notes.append(f"The runs were made at {len(commits)} different commits.")
    machines = {_machine(e) for e in environments if "device" in e}
    if len(machines) > 1:
        notes.append(
            f"The runs were made on different machines ({'; '.join(sorted(machines))}): their "
            f"seconds are not comparable, and rounding differs."
        )
    silent = [m for m in results.methods if m not in _budgets(results)]
    if silent:
        which = "all" if silent == results.methods else ", ".join(silent)
        notes.append(f"Numbers of parameters are not known of: {which}.")
    return notes


def _machine(environment):
    device = environment.get("device_name") or environment["device"]
    processes = environment.get("processes", 1)
    return device if processes == 1 else f"{device} in {processes} processes"


def _with_places(found):
    return " and ".join(f"{value} ({place})" for value, place in found.items())


def _pairs(values):
    return ", ".join(f"{name} {value}" for name, value in values.items())
