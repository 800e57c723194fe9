"""Finished runs are kept, and folders of other benchmarks are refused."""

import pytest

from pml_hyperbolic.benchmark.datasets import LabelledData
from pml_hyperbolic.benchmark.running import parallel
from pml_hyperbolic.benchmark.running.runner import run_benchmark
from pml_hyperbolic.checked_files import read_checked_json, write_checked_json
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.files import read_json

from .rows import numbers, plain


def test_finished_runs_are_kept_and_killed_ones_redone(tiny, tmp_path, load, copied):
    folder = copied(tiny)
    untouched = folder / "chest" / "fold0_seed0" / "checkpoint.pt"
    stamp = untouched.stat().st_mtime_ns
    # A killed run has everything but its result.
    killed = folder / "hier" / "fold0_seed1"
    (killed / "result.json").unlink()
    (killed / "checkpoint.pt").write_bytes(b"half a file")
    said = []
    rows, failures = run_benchmark(
        load(), tmp_path / "runs", jobs=1, say=said.append, show_progress=False
    )
    assert failures == []
    assert numbers(rows) == numbers(tiny.rows)
    assert untouched.stat().st_mtime_ns == stamp
    assert (killed / "checkpoint.pt").stat().st_size > 100
    assert said == [f"5 finished runs in {folder} are kept, 1 are left to do"]


def test_a_second_call_does_nothing(tiny, tmp_path, load, monkeypatch, copied):
    copied(tiny)
    monkeypatch.setattr(parallel, "execute_run", lambda *args, **kwargs: pytest.fail("ran again"))
    rows, failures = run_benchmark(
        load(), tmp_path / "runs", say=lambda line: None, show_progress=False
    )
    assert plain(rows) == tiny.rows
    assert failures == []


def test_finished_runs_declare_what_the_config_says_now(tiny, tmp_path, load, monkeypatch, copied):
    folder = copied(tiny)
    monkeypatch.setattr(parallel, "execute_run", lambda *args, **kwargs: pytest.fail("ran again"))
    config = load()
    tuned = {name: m.model_copy(update={"search_trials": 7}) for name, m in config.methods.items()}
    rows, _ = run_benchmark(
        config.model_copy(update={"methods": tuned}),
        tmp_path / "runs",
        say=lambda line: None,
        show_progress=False,
    )
    assert plain(rows) == [{**row, "search_trials": 7} for row in tiny.rows]
    assert read_json(folder / "hier" / "fold0_seed0" / "result.json")[0]["search_trials"] == 7


def test_another_protocol_in_the_same_folder_is_refused(tiny, tmp_path, load, copied):
    folder = copied(tiny)
    with pytest.raises(InputError, match=r"runs of another protocol.*name=\.\.\. or --output"):
        run_benchmark(load("protocol.epochs=2"), tmp_path / "runs", show_progress=False)
    assert read_json(folder / "results.json") == tiny.rows


def test_other_data_in_the_same_place_are_refused(tiny, tmp_path, load, monkeypatch, copied):
    folder = copied(tiny)
    monkeypatch.setattr(LabelledData, "fingerprint", lambda self, content: "other")
    with pytest.raises(InputError, match=r"runs on other data \(\w+, this one is other\)"):
        run_benchmark(load(), tmp_path / "runs", show_progress=False)
    assert read_json(folder / "results.json") == tiny.rows


def test_other_settings_of_a_finished_method_are_refused(
    tiny, tmp_path, load, write_config, config_file, copied
):
    from ..conftest import METHODS, TINY

    copied(tiny)
    changed = {**METHODS, "proxy_anchor": {"loss": "ProxyAnchorLoss", "loss_lr": 0.02}}
    write_config(tmp_path, TINY, changed)
    with pytest.raises(InputError, match="was finished with other settings of proxy_anchor"):
        run_benchmark(load(), tmp_path / "runs", show_progress=False)


def test_a_foreign_folder_is_left_alone(tmp_path, load):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.tex").touch()
    with pytest.raises(InputError, match="was not made by this command"):
        run_benchmark(load(), tmp_path, show_progress=False)
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[0].pop("epoch"), "row 0: epoch is missing"),
        (lambda rows: rows[0].update(seconds=float("nan")), "row 0: seconds: should be a finite"),
        (lambda rows: rows[0]["test"].update(r_precision="high"), "row 0: test.r_precision: "),
        (lambda rows: rows.clear(), "expected a list of rows"),
    ],
)
def test_a_malformed_result_is_refused_before_anything_is_written(
    tiny, tmp_path, load, copied, spoil, words
):
    folder = copied(tiny)
    file = folder / "hier" / "fold0_seed1" / "result.json"
    rows = read_checked_json(file)
    spoil(rows)
    write_checked_json(file, rows)
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    config = load()
    tuned = {name: m.model_copy(update={"search_trials": 7}) for name, m in config.methods.items()}
    config = config.model_copy(update={"methods": tuned})
    with pytest.raises(InputError, match=rf"{words}.*: remove {file.parent} and run again"):
        run_benchmark(config, tmp_path / "runs", show_progress=False)
    assert before == {path: path.read_bytes() for path in before}
