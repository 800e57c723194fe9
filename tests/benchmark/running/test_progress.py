"""The progress bar counts the epochs of all runs."""

import pytest

from pml_hyperbolic.benchmark.running.progress import Progress


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_is_shown_on_demand(load, capsys, shown):
    with Progress(load("protocol.epochs=2"), 3, shown) as progress:
        progress.epoch_done()
        progress.epoch_done()
        progress.run_done(failed=False)
        progress.run_done(failed=True)
        # This run was resumed: one of its two epochs had been trained before.
        progress.epoch_done()
        progress.run_done(failed=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    if shown:
        assert "tiny: 3/3 runs, 1 failed" in captured.err
        assert "4/6" in captured.err
    else:
        assert captured.err == ""
