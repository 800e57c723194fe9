"""What `pml-hyperbolic list` names."""

import re

import yaml

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.listing import list_everything

from .conftest import METHODS


def section(text, title):
    """The indented lines below a title."""
    lines = text.splitlines()
    start = lines.index(f"{title}:") + 1
    end = next((i for i in range(start, len(lines)) if lines[i][:1] != " "), len(lines))
    return [line.strip() for line in lines[start:end]]


def test_everything_is_listed(config_file, write_config):
    folder = config_file.parent
    write_config(folder, methods={"hyp": {**METHODS["hyp"], "about": "Hyp, as published.\nMore."}})
    text = list_everything(folder)
    assert section(text, f"benchmarks in {folder}") == ["tiny: proxy_anchor, hier, chest"]
    methods = section(text, f"methods in {folder / 'methods'}")
    assert [line.split(":")[0] for line in methods] == sorted(METHODS)
    assert "hyp: Hyp, as published." in methods
    assert "digits" in section(text, "data sets")
    assert "small_conv" in section(text, "backbones")
    assert {"CHESTLoss", "HIERLoss", "ProxyAnchorLoss"} <= set(section(text, "losses"))
    assert {"PoincareDistance", "PoincareSimilarity"} <= set(section(text, "distances"))
    assert {"HIERRegularizer", "HypHCRegularizer"} <= set(section(text, "regularizers"))


def test_a_broken_file_hides_no_other(config_file):
    folder = config_file.parent / "methods"
    sound = [file.stem for file in folder.glob("*.yaml")]
    (folder / "broken.yaml").write_text("")
    methods = section(list_everything(config_file.parent), f"methods in {folder}")
    assert {line.split(":")[0] for line in methods} == {*sound, "broken"}
    assert any(line.startswith("broken: cannot be used: ") for line in methods)


def test_sub_folders_are_listed_with_what_they_inherit(config_file, write_config):
    folder = config_file.parent
    write_config(folder, methods={"hyp": {**METHODS["hyp"], "about": "Above."}})
    write_config(folder / "paper", methods={"hyp": {**METHODS["hyp"], "about": "As published."}})
    (folder / "paper/tiny.yaml").write_text("{name: child, extends: ../tiny.yaml}")
    for tuned in ("methods/tiny", "tuned/tiny"):
        (folder / tuned).mkdir(parents=True)
    method = {"extends": "../../methods/hyp.yaml"}
    (folder / "tuned/tiny/hyp.yaml").write_text(yaml.safe_dump(method))
    (folder / "methods/tiny/hier.yaml").write_text(yaml.safe_dump(METHODS["hier"]))
    (folder / "methods/tiny.txt").write_text("no folder")
    text = list_everything(folder)
    methods = "proxy_anchor, hier, chest"
    assert section(text, f"benchmarks in {folder}") == [
        f"tiny: {methods}",
        f"paper/tiny: {methods}",
    ]
    title = f"methods in {folder / 'paper/methods'}"
    assert section(text, title) == ["hyp: As published."]
    assert section(text, f"methods tuned for tiny in {folder / 'tuned/tiny'}") == ["hyp: Above."]
    # Their former place.
    assert section(text, f"methods tuned for tiny in {folder / 'methods/tiny'}") == ["hier"]
    assert "tiny.txt" not in text


def test_a_sweep_is_listed_with_its_benchmarks(config_file):
    swept = {"name": "widths", "extends": "tiny.yaml", "sweep": {"protocol.embedding_size": [4, 8]}}
    (config_file.parent / "widths.yaml").write_text(yaml.safe_dump(swept))
    lines = section(list_everything(config_file.parent), f"benchmarks in {config_file.parent}")
    methods = "proxy_anchor, hier, chest"
    assert lines == [f"tiny: {methods}", f"widths: {methods} (sweep: widths_4, widths_8)"]


def test_only_what_a_method_can_use_is_listed(config_file):
    lines = list_everything(config_file.parent).splitlines()
    assert not any(line.strip().startswith("Base") for line in lines)
    assert "  MultipleLosses" not in lines


def test_an_empty_folder(tmp_path, capsys):
    assert main(["list", str(tmp_path)]) == 0
    assert section(capsys.readouterr().out, f"benchmarks in {tmp_path}") == ["(none)"]


def test_the_shipped_configs_are_listed_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    benchmarks = next(i for i, line in enumerate(lines) if line.startswith("benchmarks in "))
    names = [line.strip().split(":")[0] for line in lines[benchmarks + 1 :]]
    assert {"digits", "birds", "paper/hier_cub200", "ablations/chest"} <= set(names)


def test_arguments_are_listed_with_their_defaults(config_file, capsys):
    assert main(["list", str(config_file.parent), "--arguments"]) == 0
    text = capsys.readouterr().out
    assert "omniglot(root, size=None, verify=True)" in section(text, "data sets")
    backbones = section(text, "backbones")
    assert "small_conv(width=32, blocks=2, pool=1), from the protocol: in_channels" in backbones
    losses = section(text, "losses")
    (soft_triple,) = [line for line in losses if line.startswith("SoftTripleLoss(")]
    assert soft_triple.startswith("SoftTripleLoss(centers_per_class=10, la=20, gamma=0.1, ")
    assert soft_triple.endswith("), from the protocol: num_classes, embedding_size")
    # A loss gives its base what that requires; only its own arguments without default are needed.
    (multi_similarity,) = [line for line in losses if line.startswith("MultiSimilarityLoss(")]
    assert multi_similarity.startswith("MultiSimilarityLoss(alpha=2, beta=50, base=0.5, embedding_")
    # What a constructor always refuses is no argument, although its base class has it.
    distances = section(text, "distances")
    mapping = "c=0.1, clip_radius=2.3, inputs='tangent', clip='hard', riemannian_gradient=False"
    assert f"PoincareDistance({mapping}, power=1, collect_stats=None)" in distances
    assert f"PoincareSimilarity({mapping}, bounded=True, power=1, collect_stats=None)" in distances
    assert "RiemannianCosineSimilarity(distance, power=1, collect_stats=None)" in distances
    assert not re.search(r" at 0x[0-9a-f]+", text)
