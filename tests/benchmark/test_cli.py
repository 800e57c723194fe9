"""The command line: exit statuses, one line an error, a traceback only on demand."""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pml_hyperbolic.benchmark.checking import check
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.running import parallel

SHORT = ("protocol.epochs=1", "protocol.steps_per_epoch=1", "protocol.seeds=[0]")


def test_validate(config_file, capsys):
    assert main(["validate", str(config_file)]) == 0
    assert "is valid" in (out := capsys.readouterr().out)
    assert "3 methods x 1 fold x 2 seeds" in out


def test_run_prints_the_table_and_report_repeats_it(config_file, tmp_path, capsys):
    output = ["--output", str(tmp_path / "runs")]
    # Overrides may come before and after options.
    assert main(["run", str(config_file), SHORT[0], *output, *SHORT[1:], "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert main(["report", str(tmp_path / "runs" / "tiny")]) == 0
    table = capsys.readouterr().out
    assert table in printed
    lines = table.splitlines()
    # What is said of the geometry comes first, and a rule stands below the header.
    start = next(i for i, line in enumerate(lines) if "verdict" in line.split()) + 2
    assert [line.split()[:2] for line in lines[start : start + 4]] == [
        ["proxy_anchor", "euclidean"],
        ["hier", "hyperbolic"],
        ["chest", "euclidean"],
        ["chest", "hyperbolic"],
    ]
    assert main(["report", "--markdown", str(tmp_path / "runs" / "tiny")]) == 0
    assert "\n| method | space |" in capsys.readouterr().out


def test_report_writes_what_it_shows(write_run, tmp_path, capsys):
    for method in ("a", "b"):
        for seed in (0, 1):
            write_run(method, [0.5, 0.25 + seed / 4], seed=seed)
    folder = tmp_path / "bench"
    arguments = ["report", str(folder), "--baseline", "b", "--write", str(tmp_path / "out")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "minus that of b (euclidean), as requested" in out
    assert f"written: {tmp_path / 'out' / 'report.md'}" in out
    assert main(["report", str(folder), "--baseline", "b", "--markdown"]) == 0
    assert capsys.readouterr().out == (tmp_path / "out" / "report.md").read_text()


def test_report_with_a_wrong_baseline(write_run, tmp_path, refused):
    write_run("base")
    line = refused("report", tmp_path / "bench", "--baseline", "bas", "--write", tmp_path / "out")
    assert "--baseline: no method 'bas': did you mean 'base'?" in line
    assert not (tmp_path / "out").exists()


def test_a_failing_run(config_file, tmp_path, capsys):
    arguments = ["run", str(config_file), "methods=[broken, hyp]", "--output", str(tmp_path)]
    overrides = ["protocol.epochs=2", "protocol.seeds=[3]"]
    assert main([*arguments, *overrides, "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    assert "hyp" in captured.out
    (line,) = [line for line in captured.err.splitlines() if "pml-hyperbolic" in line]
    assert "failed: broken, fold 0, seed 3" in line
    assert str(tmp_path / "tiny" / "broken" / "fold0_seed3" / "run.log") in line
    assert "Traceback" not in captured.err
    assert main([*arguments, *overrides, "--jobs", "1", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["runn"], "invalid choice: 'runn'"),
        (["run"], "required: CONFIG"),
        (["run", "x.yaml", "--job", "0"], "at least 1, got '0'"),
        (["run", "x.yaml", "--jobs", "two"], "got 'two'"),
        (["run", "x.yaml", "--frob"], "unrecognized arguments: --frob"),
        (["validate", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["report", "nowhere"], "nowhere has no finished run"),
        (["report", "nowhere", "--allow", "seed"], "--allow seed: did you mean 'seeds'?"),
        (["list", "one", "two"], "unrecognized arguments: two"),
    ],
)
def test_wrong_words(refused, arguments, message):
    assert message in refused(*arguments)


def test_debug_shows_the_traceback_and_keeps_the_status(capsys):
    assert main(["validate", "nowhere.yaml", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 1, "interrupted: finished work is kept"),
        (OSError("disk\nfull"), 1, "OSError: disk full (pass --debug for the traceback)"),
        (ModuleNotFoundError("no foo", name="foo"), 1, "ModuleNotFoundError: no foo"),
        (ModuleNotFoundError("no skl", name="sklearn.x"), 2, "scikit-learn is missing"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    config_file, monkeypatch, capsys, error, status, message
):
    def fail(*args):
        raise error

    monkeypatch.setattr(check, "check_benchmark", fail)
    assert main(["validate", str(config_file)]) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_an_interrupted_benchmark_keeps_what_is_finished(
    config_file, tmp_path, monkeypatch, capsys
):
    execute = parallel.execute_run

    def interrupted(config, method, *arguments, **kwargs):
        if method == "hier":
            raise KeyboardInterrupt
        return execute(config, method, *arguments, **kwargs)

    arguments = ["run", str(config_file), *SHORT, "--output", str(tmp_path), "--jobs", "1"]
    with monkeypatch.context() as patched:
        patched.setattr(parallel, "execute_run", interrupted)
        assert main(arguments) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert main(arguments) == 0
    assert "1 finished runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "package"),
    [("yaml", "pyyaml"), ("sklearn.datasets", "scikit-learn"), ("record_keeper", "record-keeper")],
)
def test_a_missing_extra_is_one_sentence(
    config_file, tmp_path, monkeypatch, refused, module, package
):
    monkeypatch.setitem(sys.modules, module, None)
    # Modules that have imported it already would not ask again.
    loaded = dict(sys.modules)
    for name in [n for n in loaded if n.startswith("pml_hyperbolic.benchmark.")]:
        if not name.endswith((".errors", ".cli")):
            above, _, own = name.rpartition(".")
            # Importing it again also replaces the attribute of its package.
            monkeypatch.setattr(loaded[above], own, loaded[name])
            monkeypatch.delitem(sys.modules, name)
    line = refused("run", config_file, "--output", tmp_path / "runs")
    assert line.startswith(f"pml-hyperbolic: {package} is missing")
    assert "pip install 'pml-hyperbolic[benchmark]'" in line
    assert not (tmp_path / "runs").exists()


def test_a_real_process(config_file):
    program = "import sys; from pml_hyperbolic.benchmark.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, "run", config_file, "protocol.epoch=1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "did you mean 'epochs'?" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_killed_command_leaves_no_worker_behind(config_file, tmp_path):
    program = "import sys; from pml_hyperbolic.benchmark.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "run", config_file, "--jobs", "2"]
    command += ["protocol.epochs=100000", "--output", tmp_path / "runs"]
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob("runs/*/*/*/run.log"))) == 2)
        process.kill()
        process.wait()
        wait_until(lambda: not group_lives(process.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def group_lives(group):
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, own_group = file.read_text().rpartition(")")[2].split()[:3]
            if int(own_group) == group and state != "Z":
                return True
    return False


@pytest.mark.parametrize("command", ["run", "validate", "search", "report", "list", "doctor"])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "--debug" in capsys.readouterr().out


def test_the_module_is_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "run"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("pml_hyperbolic.benchmark", run_name="__main__")
    assert ended.value.code == 2
    assert "the following arguments are required: CONFIG" in capsys.readouterr().err


@pytest.fixture
def opened(monkeypatch):
    """The addresses that were opened in the browser."""
    addresses = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    return addresses


def test_report_writes_and_opens_a_page(write_run, tmp_path, capsys, opened):
    write_run("a")
    out = tmp_path / "out"
    assert main(["report", str(tmp_path / "bench"), "--write", str(out), "--open"]) == 0
    assert f"page: {out / 'report.html'}" in capsys.readouterr().out
    assert opened == [(out / "report.html").as_uri()]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert f"report {tmp_path / 'bench'} --write" in page


def test_open_without_a_page_is_refused(write_run, tmp_path, config_file, refused):
    write_run("a")
    assert "give both" in refused("report", tmp_path / "bench", "--open")
    output = ["--output", tmp_path / "runs"]
    assert "--no-page" in refused("run", config_file, "--open", "--no-page", *output)
    assert not (tmp_path / "runs").exists()


def test_run_ends_by_naming_the_page(config_file, tmp_path, capsys, opened):
    words = ["run", str(config_file), *SHORT, "methods=[proxy_anchor]", "--jobs", "1"]
    words += ["--output", str(tmp_path / "runs")]
    assert main([*words, "--no-page"]) == 0
    file = tmp_path / "runs" / "tiny" / "report.html"
    assert not file.exists()
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"page: {file}"
    assert file.stat().st_size > 1000
    assert opened == []


def test_without_its_packages_there_is_no_page(write_run, tmp_path, capsys, monkeypatch):
    write_run("a")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", str(tmp_path / "bench"), "--write", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "no page: jinja2 is missing" in captured.err
    assert (tmp_path / "out" / "report.md").exists()
    assert not (tmp_path / "out" / "report.html").exists()


def test_report_of_benchmarks_with_names(write_run, tmp_path, capsys, refused):
    write_run("a", [0.5, 0.25], benchmark="one")
    write_run("a", [0.75, 0.5], benchmark="two")
    folders = [f"first={tmp_path / 'one'}", f"second={tmp_path / 'two'}"]
    assert main(["report", *folders, "--baseline", "second:a"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["first:a", "second:a"]
    assert "minus that of second:a (euclidean), as requested" in out
    assert "first=FOLDER" in refused("report", tmp_path / "one", tmp_path / "two")
    assert "NAME=FOLDER" in refused("report", f"a name={tmp_path / 'one'}")
