"""The log of a run."""

from pml_hyperbolic.benchmark.running.run_log import RunLog


def test_log_handlers_are_removed(tmp_path):
    with RunLog(tmp_path / "a.log") as log:
        log.info("first")
    log.warning("after")
    assert "first" in (tmp_path / "a.log").read_text()
    assert "after" not in (tmp_path / "a.log").read_text()
    assert not log.handlers
