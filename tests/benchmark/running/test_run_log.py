"""The log of a run."""

import pytest

from pml_hyperbolic.benchmark.running.run_log import RunLog


def test_log_handlers_are_removed(tmp_path):
    with RunLog(tmp_path / "a.log") as log:
        log.info("first")
    log.warning("after")
    assert "first" in (tmp_path / "a.log").read_text()
    assert "after" not in (tmp_path / "a.log").read_text()
    assert not log.handlers


def test_what_messages_and_exceptions_hold_is_escaped(tmp_path):
    with RunLog(tmp_path / "a.log") as log:
        log.info("class %s", "\x1b[31mred\n2026-01-01 INFO forged")
        try:
            raise ValueError("first\x1b]0;title\x07\nsecond\u202e")
        except ValueError as error:
            log.exception("%s: %s", type(error).__name__, error)
    text = (tmp_path / "a.log").read_text()
    assert "\\x1b[31mred\\n2026-01-01 INFO forged\n" in text
    assert "ValueError: first\\x1b]0;title\\x07\\nsecond\\u202e\n" in text
    assert "\nTraceback (most recent call last):\n" in text
    assert {c for c in text if not c.isprintable()} == {"\n"}


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "a.log").symlink_to(tmp_path / "notes")
    with pytest.raises(OSError, match=r"a\.log"), RunLog(tmp_path / "a.log") as log:
        log.info("first")
    assert (tmp_path / "notes").read_text() == "mine"
