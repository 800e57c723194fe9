"""Findings say how much of a gain is due to curvature."""

from pml_hyperbolic.benchmark.reporting.report import make_report


def test_curvature_control(bench):
    (sentence,) = make_report([bench]).findings
    assert sentence.startswith("Curvature control, hyp (hyperbolic): gains +20.")
    assert "points of MAP@R over base, of which its flat twin hyp_flat also gains +19." in sentence
    assert "% of the gain (95% interval " in sentence
    assert "curved minus flat: +" in sentence
    assert sentence.endswith((": better.", ": no difference shown."))


def test_curvature_control_without_a_gain(bench):
    (sentence,) = make_report([bench], baseline="hyp_flat").findings
    assert "gains" not in sentence
    assert "curved minus flat: +" in sentence


def test_no_gain_is_shown(tmp_path, write_run):
    for seed in range(3):
        write_run("a", [0.5, 0.25 + seed / 4], seed=seed)
        for method, changes in (("h", {}), ("h_flat", {"flat_twin_of": "h"})):
            scores = [0.5, 0.75 - seed / 4]
            write_run(method, scores, seed=seed, space="hyperbolic", **changes)
    (sentence,) = make_report([tmp_path / "bench"]).findings
    assert "no gain over a is shown" in sentence
    assert "+0.0 ± 0.0 points, p 1.000: no difference shown." in sentence


def test_a_twin_that_cannot_be_compared_is_reported(bench):
    (bench / "hyp" / "fold0_seed1" / "queries.npz").unlink()
    (sentence,) = make_report([bench]).findings
    assert "hyp_flat cannot be compared with it" in sentence
    for folder in (bench / "hyp").iterdir():
        (folder / "result.json").unlink()
    (sentence,) = make_report([bench]).findings
    assert "because hyp is not among these runs" in sentence
