"""`pml-hyperbolic doctor` finds what is wrong with made-up installations."""

import sys

import pytest

from pml_hyperbolic.benchmark import doctor
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.packages import FAISS_PACKAGES, PACKAGES

WHOLE = dict.fromkeys(set(PACKAGES) - set(FAISS_PACKAGES), "1.0")


@pytest.mark.parametrize(
    ("versions", "healthy", "said"),
    [
        (WHOLE, True, "faiss is not installed: searches use torch"),
        ({**WHOLE, "faiss-cpu": "1", "faiss-gpu": "1"}, False, "are both installed"),
        (
            {name: v for name, v in WHOLE.items() if name not in ("timm", "pyyaml")},
            False,
            "extra `benchmark` lacks timm, pyyaml: pip install 'pml_hyperbolic[benchmark]'",
        ),
        (
            {name: v for name, v in WHOLE.items() if name != "scipy"},
            False,
            "extra `benchmark` lacks scipy: ",
        ),
    ],
)
def test_problems_are_found(monkeypatch, capsys, versions, healthy, said):
    monkeypatch.setattr(doctor, "package_versions", lambda: versions)
    assert main(["doctor"]) == (0 if healthy else 1)
    out = capsys.readouterr().out
    assert said in out
    assert out.splitlines()[-1].startswith(
        "everything is in order" if healthy else "something needs fixing"
    )


def test_a_faiss_that_does_not_import(monkeypatch):
    monkeypatch.setattr(doctor, "package_versions", lambda: {**WHOLE, "faiss-cpu": "1"})
    monkeypatch.setitem(sys.modules, "faiss", None)
    lines, healthy = doctor.diagnose()
    assert not healthy
    assert any("pip install --force-reinstall faiss-cpu" in line for line in lines)
