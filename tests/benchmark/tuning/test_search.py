"""Equal tuning: the same number of trials for all, no look at test classes, nothing lost."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from pml_hyperbolic.benchmark.checking.check import check_benchmark
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.config.curvature_control import flat_twin
from pml_hyperbolic.benchmark.config.yaml_files import read_mapping
from pml_hyperbolic.benchmark.running import single_run
from pml_hyperbolic.benchmark.running.single_run import execute_run, validate_run
from pml_hyperbolic.benchmark.tuning import heartbeat, search
from pml_hyperbolic.benchmark.tuning.search import search_benchmark
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.files import read_json
from pml_hyperbolic.trainers import NonFiniteError

from ..conftest import METHODS, TINY

SHIPPED = Path(__file__).resolve().parents[3] / "benchmark_configs"
RATES = {"low": 1e-4, "high": 10, "log": True}
SHORT = ("protocol.epochs=1", "protocol.steps_per_epoch=2")
MAP = "mean_average_precision_at_r"


def with_spaces(**spaces):
    """The tiny methods, each with a search space."""
    methods = copy.deepcopy(METHODS)
    for name, space in spaces.items():
        methods[name]["search"] = space
    return methods


SPACES = {"proxy_anchor": {"loss_lr": {"grid": [0.001, 0.01, 0.1]}}, "chest": {"loss_lr": RATES}}


@pytest.fixture
def load(tmp_path, write_config):
    """The tiny benchmark of two methods with spaces, and overrides."""

    def load(*overrides, spaces=SPACES):
        content = {**TINY, "methods": list(spaces)}
        path = write_config(tmp_path, content, with_spaces(**spaces))
        return load_benchmark(path, [*SHORT, *overrides])

    return load


@pytest.fixture
def go(load, tmp_path):
    """Search with overrides: what was found, errors, the finished trials by method."""

    def go(*overrides, spaces=SPACES, **kwargs):
        config = load(*overrides, spaces=spaces)
        options = {"trials": 4, "show_progress": False, "say": lambda line: None, **kwargs}
        found, errors = search_benchmark(config, tmp_path / "runs", **options)
        url = f"sqlite:///{tmp_path / 'runs' / 'tiny-search' / 'search.db'}"
        return found, errors, studies(kwargs.get("storage") or url)

    return go


def studies(url):
    """Method -> trials that are not failed, of all its studies."""
    storage = optuna.storages.RDBStorage(url)
    try:
        trials = {}
        for study in optuna.get_all_study_summaries(storage):
            method = study.study_name.split("/")[1]
            loaded = optuna.load_study(study_name=study.study_name, storage=storage)
            alive = [t for t in loaded.trials if t.state != optuna.trial.TrialState.FAIL]
            trials.setdefault(method, []).extend(alive)
        return trials
    finally:
        storage.engine.dispose()


@pytest.fixture
def fake(monkeypatch):
    """Training replaced by a function of loss_lr, best at 0.1; diverges above 5. The calls."""
    calls = []

    def fake_run(config, method_name, fold, seed, folder, *, data):
        rate = config.methods[method_name].loss_lr
        calls.append((method_name, rate, seed))
        if rate > 5:
            raise NonFiniteError(f"{method_name}: loss became NaN at learning rate {rate}")
        return {MAP: 1 / (1 + abs(math.log10(rate) + 1)) - 0.01 * seed, "r_precision": rate}

    monkeypatch.setattr(search, "validate_run", fake_run)
    return calls


def test_the_same_number_of_trials_for_all_and_a_config_that_runs(load, tmp_path, capsys):
    load()
    arguments = [*SHORT, "--output", str(tmp_path / "runs"), "--trials", "4"]
    assert main(["search", str(tmp_path / "tiny.yaml"), *arguments]) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "runs" / "tiny-search"
    assert f"tuned config: {folder / 'tiny.yaml'}" in out
    tuned = load_benchmark(folder / "tiny.yaml")
    assert tuned.protocol == load().protocol
    assert tuned.name == "tiny-tuned"
    for name, method in tuned.methods.items():
        assert method.search_trials == 4
        assert method.tuned.protocol == tuned.protocol.hash
        assert method.search == load().methods[name].search
    done = studies(f"sqlite:///{folder / 'search.db'}")
    assert {name: len(trials) for name, trials in done.items()} == {"proxy_anchor": 4, "chest": 4}
    # The first trial has the file's own settings; a grid with fewer points is tried whole.
    assert done["proxy_anchor"][0].user_attrs["values"] == {"loss_lr": 0.01}
    assert done["chest"][0].user_attrs["values"] == {"loss_lr": 0.01}
    rates = {trial.user_attrs["values"]["loss_lr"] for trial in done["proxy_anchor"]}
    assert rates == {0.001, 0.01, 0.1}
    assert len({trial.user_attrs["values"]["loss_lr"] for trial in done["chest"]}) == 4
    for name, trials in done.items():
        best = max(trials, key=lambda trial: trial.value)
        assert tuned.methods[name].loss_lr == best.user_attrs["values"]["loss_lr"]
        assert tuned.methods[name].tuned.value == best.value
    assert not list(folder.rglob("*.pt"))
    assert {file.stem for file in folder.glob("tuned/tiny/*.yaml")} == set(done)
    command = ["run", str(folder / "tiny.yaml"), "--jobs", "1", "protocol.seeds=[0]"]
    assert main([*command, "--output", str(tmp_path / "runs")]) == 0
    rows = read_json(tmp_path / "runs" / "tiny-tuned" / "results.json")
    assert {row["method"] for row in rows} == {"proxy_anchor", "chest"}


def test_a_trial_scores_what_a_run_selects(go, load, tmp_path):
    _, _, done = go("protocol.epochs=2", trials=1, seeds=2)
    config = load("protocol.epochs=2")
    for name, space in (("proxy_anchor", "euclidean"), ("chest", "hyperbolic")):
        selected = [
            row.validation[MAP]
            for seed in (0, 1)
            for row in execute_run(config, name, 0, seed, tmp_path / "run")
            if row.space == space
        ]
        (trial,) = done[name]
        assert trial.value == sum(selected) / 2


def test_the_test_classes_are_never_scored(load, tmp_path, monkeypatch):
    scored = []
    make = single_run.Pipeline.tester

    def spy(self, **hooks):
        tester = make(self, **hooks)
        score = tester.test

        def test(dataset_dict, *args, **kwargs):
            scored.extend(dataset_dict)
            return score(dataset_dict, *args, **kwargs)

        tester.test = test
        return tester

    monkeypatch.setattr(single_run.Pipeline, "tester", spy)
    scores = validate_run(load("protocol.epochs=2"), "chest", 0, 0, tmp_path / "trial")
    assert scored == ["validation"] * 2
    config = load("protocol.epochs=2", "protocol.splits.test=[8, 9]")
    other = validate_run(config, "chest", 0, 0, tmp_path / "trial")
    assert other == scores


def test_diverged_trials_count_with_the_worst_value(go, fake, tmp_path):
    spaces = {"proxy_anchor": {"loss_lr": {"grid": [0.01, 0.1, 7, 8]}}}
    (found,), errors, done = go(spaces=spaces)
    assert errors == {}
    assert (found.trials, found.diverged, found.values) == (4, 2, {"loss_lr": 0.1})
    bad = [t for t in done["proxy_anchor"] if t.state == optuna.trial.TrialState.PRUNED]
    assert [t.value for t in bad] == [0.0, 0.0]
    assert all("became NaN" in t.user_attrs["diverged"] for t in bad)
    written = read_mapping(
        tmp_path / "runs" / "tiny-search" / "tuned" / "tiny" / "proxy_anchor.yaml"
    )
    assert written["tuned"]["diverged"] == 2


def test_a_real_loss_that_diverges(go):
    spaces = {"broken": {"loss.SoftTripleLoss.la": {"grid": [20, 1e38]}, "loss_lr": RATES}}
    found, errors, _ = go("protocol.steps_per_epoch=4", spaces=spaces, trials=1)
    assert found == []
    assert errors == {"broken": "all 1 trials diverged: lower the learning rates of its space"}


def test_a_best_value_at_the_edge_is_said(go, fake, tmp_path):
    spaces = {
        "proxy_anchor": {"loss_lr": {"grid": [0.001, 0.01]}},
        "chest": {"loss_lr": {"grid": [0.01, 0.1, 1]}},
    }
    (edge, inside), _, _ = go(spaces=spaces)
    assert edge.at_edge == ["loss_lr"]
    assert "loss_lr = 0.01 at the edge" in edge.advice
    assert (inside.at_edge, inside.advice) == ([], None)
    folder = tmp_path / "runs" / "tiny-search" / "tuned" / "tiny"
    assert (
        "loss_lr lies at the edge of what was searched"
        in (folder / "proxy_anchor.yaml").read_text()
    )
    assert read_mapping(folder / "proxy_anchor.yaml")["tuned"]["at_edge"] == ["loss_lr"]
    assert read_mapping(folder / "chest.yaml")["tuned"]["at_edge"] == []


def test_settings_that_were_tried_are_not_trained_again(go, fake):
    spaces = {"proxy_anchor": {"loss_lr": {"grid": [0.001, 0.01]}}}
    (found,), _, _ = go(spaces=spaces, trials=5)
    assert found.trials == 5
    assert sorted(rate for _, rate, _ in fake) == [0.001, 0.01]
    # Nor when the grid is extended.
    (found,), _, _ = go(spaces={"proxy_anchor": {"loss_lr": {"grid": [0.001, 0.01, 0.1]}}})
    assert found.values == {"loss_lr": 0.1}
    assert sorted(rate for _, rate, _ in fake) == [0.001, 0.01, 0.1]


def values(done):
    return {
        name: [(trial.user_attrs["values"]["loss_lr"], trial.value) for trial in trials]
        for name, trials in done.items()
    }


def test_the_same_search_twice_and_continued(go, fake, tmp_path):
    _, _, whole = go(trials=14)
    again = f"sqlite:///{tmp_path / 'again.db'}"
    for trials in (3, 12, 14):
        (_, chest), _, done = go(trials=trials, storage=again)
        assert chest.trials == trials
    assert values(done) == values(whole)
    calls = len(fake)
    said = []
    go(trials=14, say=said.append)
    assert len(fake) == calls
    assert said == ["28 of 28 trials are finished already"]
    # Fewer than there are: the first count.
    (_, chest), _, _ = go(trials=2)
    assert chest.trials == 2
    assert chest.value == max(value for _, value in values(whole)["chest"][:2])


def test_the_first_trials_are_spread_evenly(go, fake):
    """In a space of one rate: its own value, then the range in eight equal parts."""
    _, _, done = go(spaces={"chest": {"loss_lr": RATES}}, trials=8)
    first, *others = [trial.user_attrs["values"]["loss_lr"] for trial in done["chest"]]
    assert first == 0.01
    low, high = math.log(RATES["low"]), math.log(RATES["high"])
    shares = [(math.log(value) - low) / (high - low) for value in others]
    assert sorted(shares) == pytest.approx([k / 8 for k in range(1, 8)])


def test_tpe_learns(go, fake):
    _, _, done = go(spaces={"chest": {"loss_lr": RATES}}, trials=25)
    scores = [trial.value for trial in done["chest"]]
    assert sum(scores[15:]) / 10 > sum(scores[:10]) / 10


def test_a_trial_that_is_killed_in_training_is_trained_again(load, go, tmp_path, monkeypatch):
    program = (
        "import os, sys\n"
        "from pml_hyperbolic.benchmark.running import single_run\n"
        "from pml_hyperbolic.benchmark.cli import main\n"
        "calls = []\n"
        "make = single_run.Pipeline.tester\n"
        "def tester(self, **hooks):\n"
        "    calls.append(self.name)\n"
        "    if len(calls) == 2: os.kill(os.getpid(), 9)\n"
        "    return make(self, **hooks)\n"
        "single_run.Pipeline.tester = tester\n"
        "main(sys.argv[1:])"
    )
    spaces = {"chest": {"loss_lr": RATES}}
    load(spaces=spaces)
    command = ["search", tmp_path / "tiny.yaml", *SHORT, "--trials", "3"]
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--output", tmp_path / "runs"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    monkeypatch.setattr(heartbeat, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(search, "POLL_SECONDS", 0.02)
    calls = []

    def run(*args, data):
        calls.append(args)
        return validate_run(*args, data=data)

    monkeypatch.setattr(search, "validate_run", run)
    (found,), errors, resumed = go(spaces=spaces, trials=3)
    assert errors == {}
    assert found.trials == 3
    assert len(calls) == 2
    _, _, whole = go(spaces=spaces, trials=3, storage=f"sqlite:///{tmp_path / 'whole.db'}")
    assert values(resumed) == values(whole)


def test_trials_of_a_killed_search_are_announced(go, fake, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    go(trials=1, storage=url)
    # A worker of another search that begins a trial, and says no more.
    monkeypatch.setattr(search, "_try", lambda *args: "killed")
    go(trials=2, storage=url)
    monkeypatch.undo()
    monkeypatch.setattr(search, "validate_run", lambda *args, data: {MAP: 0.5})

    def sleep(seconds):
        monkeypatch.setattr(heartbeat, "GRACE_SECONDS", -1)

    monkeypatch.setattr(search.time, "sleep", sleep)
    said = []
    _, errors, done = go(trials=2, storage=url, say=said.append)
    assert errors == {}
    assert {name: len(trials) for name, trials in done.items()} == {"proxy_anchor": 2, "chest": 2}
    assert said == [
        "2 of 4 trials are finished already",
        "trials that another process began: 2; they are begun again if it shows no sign of life "
        "for 30 seconds",
    ]


def test_workers_share_the_trials(go, load, tmp_path):
    _, errors, done = go(jobs=2, trials=3)
    assert errors == {}
    assert {name: len(trials) for name, trials in done.items()} == {"proxy_anchor": 3, "chest": 3}
    _, _, alone = go(trials=3, storage=f"sqlite:///{tmp_path / 'alone.db'}")
    # A space that is tried whole does not depend on who tries it.
    assert sorted(values(done)["proxy_anchor"]) == sorted(values(alone)["proxy_anchor"])


def test_a_method_that_fails_stops_no_other(load, tmp_path, monkeypatch, capsys):
    load(spaces={name: {"loss_lr": RATES} for name in SPACES})

    def run(config, name, fold, seed, folder, *, data):
        if name == "proxy_anchor":
            raise RuntimeError("disk full")
        return {MAP: 0.5}

    monkeypatch.setattr(search, "validate_run", run)
    command = ["search", str(tmp_path / "tiny.yaml"), *SHORT, "--trials", "2"]
    command += ["--output", str(tmp_path / "runs")]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "failed: proxy_anchor: RuntimeError: disk full" in captured.err
    assert "chest" in captured.out
    # Unequal tuning is not written.
    assert not (tmp_path / "runs" / "tiny-search" / "tiny.yaml").exists()
    monkeypatch.setattr(search, "validate_run", lambda *args, data: {MAP: 0.5})
    assert main(command) == 0
    done = studies(f"sqlite:///{tmp_path / 'runs' / 'tiny-search' / 'search.db'}")
    assert done["proxy_anchor"][0].user_attrs["values"] == {"loss_lr": 0.01}
    assert {name: len(trials) for name, trials in done.items()} == {"proxy_anchor": 2, "chest": 2}


def test_optuna_speaks_as_before(go, fake):
    before = optuna.logging.get_verbosity()
    go(trials=1)
    assert optuna.logging.get_verbosity() == before


def test_every_shipped_method_can_be_searched():
    config = load_benchmark(SHIPPED / "digits.yaml")
    assert len(config.methods) >= 7
    assert all(config.search_space(name) for name in config.methods)
    # Builds the loss at every end of every range.
    notes = check_benchmark(config).notes
    assert [note for note in notes if "at the edge of what it tried" not in note] == []


def test_a_password_is_not_repeated(load, tmp_path, refused):
    load()
    command = ["search", tmp_path / "tiny.yaml", "--output", tmp_path / "runs", "--trials", "1"]
    line = refused(*command, "--storage", "nosuchdatabase://me:secret@host/optuna")
    assert "nosuchdatabase://me:***@host" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["methods=[proxy_anchor, hyp]"], "hyp declares no search space: add for example"),
        (["--seeds", "3"], "--seeds 3: protocol.seeds has only 2"),
        (["--storage", "nowhere"], "cannot open the storage nowhere"),
        (["--storage", "sqlite:////no/such/folder/x.db"], "cannot open the storage sqlite"),
        (["--trials", "0"], "at least 1, got '0'"),
    ],
)
def test_wrong_input(load, tmp_path, refused, arguments, message):
    load()
    command = ["search", tmp_path / "tiny.yaml", "--output", tmp_path / "runs", "--trials", "1"]
    assert message in refused(*command, *arguments)


def test_a_flat_twin_is_not_searched_apart_from_its_method(load, tmp_path):
    config = load(spaces={"chest": {"loss_lr": RATES}})
    twin = flat_twin("chest", config.methods["chest"])
    config = config.model_copy(update={"methods": {**config.methods, "flat": twin}})
    with pytest.raises(InputError, match="flat is the flat twin of chest and shares its settings"):
        search_benchmark(config, tmp_path / "runs", trials=1)


def test_trials_must_be_said(load, tmp_path, refused):
    load()
    assert "--trials" in refused("search", tmp_path / "tiny.yaml")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"loss_lrr": RATES}, "'loss_lrr' is no setting .* did you mean 'loss_lr'?"),
        ({"about": {"choices": ["a", "b"]}, "loss_lr": RATES}, "'about' is no setting"),
        ({"loss": RATES, "loss_lr": RATES}, "'loss' is no setting"),
        ({"epochs": {"grid": [1, 2]}, "loss_lr": RATES}, "'epochs' is no setting of this method"),
        ({"loss.ProxyAnchorLoss.la": RATES, "loss_lr": RATES}, "'loss.ProxyAnchorLoss.la' is no"),
        ({"loss_weight_decay": RATES}, "loss_lr must be among the searched settings"),
        ({"loss_lr": {"low": 1, "high": 1}}, "low must be less than high, got 1 and 1"),
        ({"loss_lr": {"low": 1}}, "expected either low with high, or grid, or choices"),
        ({"loss_lr": {**RATES, "grid": [1, 2]}}, "expected either low with high, or grid"),
        ({"loss_lr": {"low": 0, "high": 1, "log": True}}, "log needs low and high"),
        ({"loss_lr": {"grid": [1, 0.1]}}, "grid must increase"),
        ({"loss_lr": {"grid": [1]}}, "at least 2 values"),
        ({"loss_lr": {"choices": [1, 1]}}, "choices must differ"),
        ({"loss_lr": {"lo": 1}}, "unknown key 'lo': did you mean 'low'?"),
    ],
)
def test_wrong_spaces(load, space, message):
    with pytest.raises(InputError, match=message):
        load(spaces={"proxy_anchor": space})


def test_the_regularizers_rate_is_searched_too(load):
    with pytest.raises(InputError, match=r"regularizer\.lr must be among"):
        load(spaces={"hier": {"regularizer.weight": RATES}})


def test_what_is_about_a_method_does_not_change_its_hash(load):
    searched = load().methods["proxy_anchor"]
    plain = searched.model_copy(update={"search": {}, "search_trials": 3, "about": "x"})
    assert plain.hash == searched.hash
    assert searched.with_values({"loss_lr": 0.5}).hash != searched.hash
    assert searched.with_values({"loss_lr": 0.01}).hash == searched.hash


@pytest.fixture
def fake_heads(monkeypatch):
    """Training replaced by a function of the head's rate, best at 1e-4 or at 1e-6. The calls."""
    calls = []

    def fake_run(config, method_name, fold, seed, folder, *, data):
        rate = config.methods[method_name].head_lr
        best = 1e-6 if method_name == "chest" else 1e-4
        calls.append((method_name, rate, config.methods[method_name].loss_lr))
        return {MAP: 1 / (1 + abs(math.log10(rate / best)))}

    monkeypatch.setattr(search, "validate_run", fake_run)
    return calls


@pytest.fixture
def tuned_heads(tmp_path, write_config):
    """A benchmark with tuned heads, of a method without a space of its own and one with it."""

    def write(hyp=None):
        methods = with_spaces(chest=SPACES["chest"])
        methods["hyp"] |= {"head_lr": 1e-3, **(hyp or {})}
        methods["chest"]["head_lr"] = 1e-3
        path = write_config(tmp_path, {**TINY, "methods": ["hyp", "chest"]}, methods)
        grid = "{head_lr: {grid: [1e-6, 1e-5, 1e-4, 1e-3]}}"
        return load_benchmark(
            path,
            [
                *SHORT,
                "protocol.optimizer.head_lr=tuned",
                f"protocol.optimizer.rate_ranges={grid}",
            ],
        )

    return write


def test_tuned_rates_are_searched_for_every_method(tuned_heads, tmp_path, fake_heads):
    found, errors = search_benchmark(
        tuned_heads(), tmp_path / "runs", trials=8, show_progress=False, say=lambda line: None
    )
    assert errors == {}
    hyp, chest = found
    assert hyp.values == {"head_lr": 1e-4}
    assert list(chest.values) == ["head_lr", "loss_lr"]
    assert (hyp.trials, chest.trials) == (8, 8)
    # Its four points are searched completely, from its own on.
    assert next(rate for name, rate, _ in fake_heads if name == "hyp") == 1e-3
    assert {rate for name, rate, _ in fake_heads if name == "hyp"} == {1e-6, 1e-5, 1e-4, 1e-3}
    assert {rate for name, rate, _ in fake_heads if name == "chest"} <= {1e-6, 1e-5, 1e-4, 1e-3}
    tuned = load_benchmark(tmp_path / "runs" / "tiny-search" / "tiny.yaml")
    assert tuned.methods["hyp"].head_lr == 1e-4
    assert tuned.methods["hyp"].tuned.at_edge == []
    assert tuned.methods["chest"].head_lr == chest.values["head_lr"]
    edges = ["head_lr"] if chest.values["head_lr"] in (1e-6, 1e-3) else []
    assert [p for p in tuned.methods["chest"].tuned.at_edge if p == "head_lr"] == edges


def test_a_loss_with_a_rate_has_it_searched_beside_a_tuned_head(tuned_heads, tmp_path):
    proxies = {"loss": {"ProxyAnchorLoss": {}}, "loss_lr": 0.1, "head": {"spaces": ["euclidean"]}}
    with pytest.raises(InputError, match=r"^hyp: search: loss_lr must be among the searched"):
        search_benchmark(tuned_heads(proxies), tmp_path / "runs", trials=4)


def test_another_range_is_another_study(tuned_heads, tmp_path, fake_heads):
    options = {"trials": 2, "show_progress": False, "say": lambda line: None}
    config = tuned_heads()
    search_benchmark(config, tmp_path / "runs", **options)
    before = len(fake_heads)
    search_benchmark(config, tmp_path / "runs", **options)
    assert len(fake_heads) == before
    optimizer = config.protocol.optimizer.model_copy(update={"rate_ranges": {}})
    protocol = config.protocol.model_copy(update={"optimizer": optimizer})
    wider = config.model_copy(update={"protocol": protocol})
    assert wider.protocol.hash == config.protocol.hash
    search_benchmark(wider, tmp_path / "runs", **options)
    assert len(fake_heads) > before
