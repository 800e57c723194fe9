"""Each proposal is carried out once, by the worker that claimed it first."""

import time

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from pml_hyperbolic.benchmark.tuning import heartbeat
from pml_hyperbolic.benchmark.tuning.checked_studies import CheckedStudies
from pml_hyperbolic.benchmark.tuning.proposals import Proposals
from pml_hyperbolic.benchmark.tuning.storage import opened_storage

GRID = IntDistribution(0, 3)
PLAN = [{"x": 2}, {"x": 0}, {"x": 1}, {"x": 3}]


@pytest.fixture
def storage(tmp_path):
    with opened_storage(f"sqlite:///{tmp_path / 'search.db'}") as storage:
        yield storage


@pytest.fixture
def make(storage):
    """A function that makes the proposals of a study, as another search sees them."""

    def make(search="a", trials=4, plan=PLAN, distribution=GRID):
        return Proposals(
            "study",
            CheckedStudies(storage),
            trials=trials,
            plan=plan,
            distributions={"x": distribution},
            search=search,
        )

    return make


def begin(mine, distribution=GRID):
    """Claim a trial and ask for its parameter: (trial, parameter)."""
    trial = mine.claim()
    if isinstance(distribution, FloatDistribution):
        return trial, trial.suggest_float("x", distribution.low, distribution.high)
    return trial, trial.suggest_int("x", distribution.low, distribution.high)


def numbers(mine):
    return [trial.user_attrs["proposal"] for trial in mine.finished()]


def test_the_plan_comes_first_and_then_the_sampler(make):
    mine = make(trials=6)
    found = []
    for _ in range(6):
        trial, x = begin(mine)
        found.append(x)
        assert mine.finish(trial, TrialState.COMPLETE, 0.5)
    assert found[:4] == [2, 0, 1, 3]
    assert numbers(mine) == list(range(6))
    assert mine.done
    assert mine.claim() is None


def test_a_failed_trial_gives_its_number_and_its_point_to_the_next(make):
    mine = make()
    first, _ = begin(mine)
    second, x = begin(mine)
    mine.finish(second, TrialState.FAIL)
    again, same = begin(mine)
    assert same == x == 0
    third, x = begin(mine)
    assert x == 1
    for trial in (third, again, first):
        mine.finish(trial, TrialState.COMPLETE, 0.5)
    # In the order of the proposals, and not of the trials.
    assert [trial.params["x"] for trial in mine.finished()] == [2, 0, 1]
    assert not mine.done


def test_a_sampled_proposal_is_repeated(make):
    line = FloatDistribution(0, 1)
    mine = make(plan=[], distribution=line)
    trial, x = begin(mine, line)
    mine.finish(trial, TrialState.FAIL)
    assert begin(mine, line)[1] == x
    assert begin(mine, line)[1] != x


def test_the_earlier_of_two_claims_counts(make, storage, monkeypatch):
    ours, theirs = make("a"), make("b")
    create = storage.create_new_trial
    claimed = []

    def create_after_them(study_id, template):
        monkeypatch.setattr(storage, "create_new_trial", create)
        claimed.append(theirs.claim())
        return create(study_id, template)

    monkeypatch.setattr(storage, "create_new_trial", create_after_them)
    assert ours.claim() is None
    (trial,) = claimed
    assert trial.number == 0
    states = [trial.state for trial in ours.study.get_trials()]
    assert states == [TrialState.RUNNING, TrialState.FAIL]
    assert begin(ours)[1] == 0


def test_a_claim_between_anothers_creation_and_its_check_loses(make, storage, monkeypatch):
    ours, theirs = make("a"), make("b")
    stale = theirs._by_number
    # They chose a number before our trial was there.
    empty = stale()
    answers = [empty]
    monkeypatch.setattr(theirs, "_by_number", lambda: answers.pop() if answers else stale())
    trial, _ = begin(ours)
    assert theirs.claim() is None
    assert ours.finish(trial, TrialState.COMPLETE, 0.5)
    assert numbers(ours) == [0]


def test_a_trial_that_was_taken_over_ends_in_silence(make):
    ours, theirs = make("a"), make("b")
    trial, _ = begin(ours)
    (frozen,) = theirs.study.get_trials()
    theirs.finish(frozen, TrialState.FAIL)
    assert not ours.finish(trial, TrialState.COMPLETE, 0.9)
    assert not ours.finish(trial, TrialState.FAIL)
    assert ours.finished() == []


def test_of_two_results_of_one_proposal_the_first_counts(make, storage):
    mine = make()
    for value in (0.5, 0.9):
        template = create_trial(
            value=value,
            params={"x": 2},
            distributions={"x": GRID},
            user_attrs={"proposal": 0},
        )
        mine.study.add_trial(template)
    (trial,) = mine.finished()
    assert trial.value == 0.5


def test_own_trials_are_abandoned_at_the_end(make):
    ours, theirs = make("a"), make("b")
    begin(ours)
    other, _ = begin(theirs)
    ours.abandon_own()
    states = {trial.number: trial.state for trial in ours.study.get_trials()}
    assert states == {0: TrialState.FAIL, other.number: TrialState.RUNNING}


def test_searches_without_numbers_go_on(make):
    mine = make()
    for x, state in ((2, "COMPLETE"), (0, "RUNNING"), (0, "FAIL"), (1, "PRUNED")):
        state = TrialState[state]
        template = create_trial(
            state=state,
            value=0.5 if state == TrialState.COMPLETE else None,
            params={"x": x},
            distributions={"x": GRID},
        )
        mine.study.add_trial(template)
    mine.study.enqueue_trial({"x": 3})
    assert [trial.params["x"] for trial in mine.finished()] == [2, 1]
    assert [begin(mine)[1] for _ in range(2)] == [0, 3]
    assert mine.claim() is None


@pytest.fixture
def clock(monkeypatch):
    """Times that only a test moves on: monotonic, of day, and the name of the machine."""
    now = {"monotonic": 100.0, "time": 1000.0, "node": "here"}
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now["monotonic"])
    monkeypatch.setattr(heartbeat.time, "time", lambda: now["time"])
    monkeypatch.setattr(heartbeat.platform, "node", lambda: now["node"])
    return now


def pass_time(clock, seconds):
    clock["monotonic"] += seconds
    clock["time"] += seconds


def states(mine):
    return [trial.state.name for trial in mine.study.get_trials(deepcopy=False)]


def test_an_old_heartbeat_of_this_machine_is_known_at_once(make, clock):
    begin(make("a"))
    pass_time(clock, 31)
    mine = make("b")
    assert mine.reclaim() == 0
    assert states(mine) == ["FAIL"]
    assert begin(mine)[1] == 2


def test_a_heartbeat_of_another_machine_is_watched_as_its_clock_may_be_wrong(make, clock):
    clock["node"] = "there"
    begin(make("a"))
    clock["node"] = "here"
    clock["time"] += 10**6
    mine = make("b")
    assert mine.reclaim() == 1
    pass_time(clock, 29)
    assert mine.reclaim() == 1
    pass_time(clock, 2)
    assert mine.reclaim() == 0
    assert states(mine) == ["FAIL"]


def test_a_trial_of_before_heartbeats_is_watched(make, clock):
    mine = make("b")
    mine.study.ask()
    assert mine.reclaim() == 1
    pass_time(clock, 31)
    assert mine.reclaim() == 0
    assert states(mine) == ["FAIL"]


def test_a_search_that_shows_signs_of_life_is_trusted(make, storage, clock):
    theirs, mine = make("a"), make("b")
    trial, _ = begin(theirs)
    assert mine.reclaim() == 1
    pass_time(clock, 10)
    storage.set_trial_user_attr(trial._trial_id, heartbeat.HEARTBEAT, heartbeat.heartbeat())
    assert mine.reclaim() == 0
    # Their next trial is trusted at once, and given up when its own heartbeat is old.
    second, _ = begin(theirs)
    assert mine.reclaim() == 0
    pass_time(clock, 25)
    storage.set_trial_user_attr(trial._trial_id, heartbeat.HEARTBEAT, heartbeat.heartbeat())
    pass_time(clock, 6)
    assert mine.reclaim() == 0
    found = {trial.number: trial.state.name for trial in mine.study.get_trials()}
    assert found == {trial.number: "RUNNING", second.number: "FAIL"}


def test_own_workers_are_known_to_be_alive(make, clock):
    begin(make("a"))
    assert make("a").reclaim() == 0
    pass_time(clock, 31)
    mine = make("a")
    assert mine.reclaim() == 0
    assert states(mine) == ["FAIL"]


def wait_for(holds):
    """Wait until something holds; a minute without it is a failure."""
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.001)


def test_the_heartbeat_goes_on_until_the_trial_ends(make, storage, monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.001)
    mine = make()
    trial, _ = begin(mine)

    def beat():
        return storage.get_trial(trial._trial_id).user_attrs[heartbeat.HEARTBEAT]

    first = beat()
    with mine.heartbeat(trial):
        wait_for(lambda: beat() != first)
    last = beat()
    assert last[1] > first[1]
    with mine.heartbeat(trial) as beating:
        mine.finish(trial, TrialState.FAIL)
        # It ends by itself when there is nothing left to keep alive.
        beating._thread.join(60)
        assert not beating._thread.is_alive()


def test_a_lost_server_does_not_end_the_heartbeat(make, storage, monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.001)
    mine = make()
    trial, _ = begin(mine)
    write = storage.set_trial_user_attr
    failures = []

    def fail_twice(*arguments):
        if len(failures) < 2:
            failures.append(arguments)
            raise optuna.exceptions.StorageInternalError("gone")
        write(*arguments)

    before = storage.get_trial(trial._trial_id).user_attrs[heartbeat.HEARTBEAT]
    monkeypatch.setattr(storage, "set_trial_user_attr", fail_twice)
    with mine.heartbeat(trial):
        wait_for(
            lambda: storage.get_trial(trial._trial_id).user_attrs[heartbeat.HEARTBEAT] != before
        )
    assert len(failures) == 2
