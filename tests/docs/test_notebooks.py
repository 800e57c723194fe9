"""The notebooks run from top to bottom, on small data and with few steps."""

import pytest

from tests.docs.pages import ROOT

NOTEBOOKS = ROOT / "docs" / "notebooks"
# Notebook -> settings in it that are replaced, and a part of what it must print.
SMALL = {
    "losses_on_a_pretrained_trunk": (
        {"tf_efficientnet_lite0.in1k": "test_resnet", "pretrained = True": "pretrained = False"}
        | {"epochs = 10": "epochs = 2"},
        "CHEST, hyperbolic: R@1",
    ),
    "benchmark_and_report": (
        {"[0, 1, 2]": "[0]", "epochs = 10": "epochs = 2"},
        "hyp_flat hyperbolic seed 0",
    ),
    "hierarchy_analysis": ({"steps = 300": "steps = 20"}, "dendrogram_purity/"),
}


def test_every_notebook_is_run():
    assert {file.stem for file in NOTEBOOKS.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_notebook_runs(name, documented_folder, write_photos, capsys):
    write_photos(documented_folder / "photos", 12, 4)
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    settings, printed = SMALL[name]
    for given, small in settings.items():
        assert source.count(given) == 1, given
        source = source.replace(given, small)
    exec(compile(source, f"{name}.py", "exec"), {"__name__": "__main__"})
    assert printed in capsys.readouterr().out
    if name == "hierarchy_analysis":
        assert (documented_folder / "ancestors.svg").stat().st_size > 0


@pytest.mark.parametrize("name", SMALL)
def test_notebook_is_in_percent_format(name):
    lines = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# %% [markdown]"
    assert lines[1].startswith("# # ")
    assert lines.count("# %%") >= 3
