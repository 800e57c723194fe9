"""`sweep:`: one file for benchmarks that differ in a protocol key."""

import pytest
import yaml

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.config import load_benchmark, load_benchmarks
from pml_hyperbolic.errors import InputError

from ..conftest import METHODS, PROTOCOL, TINY

SIZES = "protocol.embedding_size"
WIDTH = "protocol.backbone.small_conv.width"


def without(protocol, *keys):
    return {key: value for key, value in protocol.items() if key not in keys}


@pytest.fixture
def write(tmp_path, write_config):
    """A function that writes the tiny benchmark with a sweep: its path."""

    def write(sweep, **changes):
        protocol = without(PROTOCOL, *(key.split(".")[1] for key in sweep if "." in key))
        if WIDTH in sweep:
            protocol["backbone"] = {"small_conv": {"blocks": 1}}
        return write_config(tmp_path, {**TINY, "protocol": protocol, "sweep": sweep, **changes})

    return write


def test_each_value_gives_the_benchmark_of_a_file_of_its_own(write, tmp_path, write_config):
    configs = load_benchmarks(write({SIZES: [4, 8, 16]}))
    assert [config.name for config in configs] == ["tiny_4", "tiny_8", "tiny_16"]
    for config, size in zip(configs, (4, 8, 16), strict=True):
        content = {**TINY, "protocol": {**PROTOCOL, "embedding_size": size}}
        own = load_benchmark(write_config(tmp_path / "own", content))
        assert config.protocol == own.protocol
        assert config.protocol.hash == own.protocol.hash
        assert config.methods == own.methods


def test_several_keys_and_labels(write):
    configs = load_benchmarks(write({WIDTH: {"thin": 4, "wide": 8}, SIZES: [8, 16]}))
    found = {
        config.name: (
            config.protocol.backbone["small_conv"]["width"],
            config.protocol.embedding_size,
        )
        for config in configs
    }
    assert found == {
        "tiny_thin_8": (4, 8),
        "tiny_thin_16": (4, 16),
        "tiny_wide_8": (8, 8),
        "tiny_wide_16": (8, 16),
    }
    assert all(c.protocol.backbone["small_conv"]["blocks"] == 1 for c in configs)


def test_overrides_apply_to_all_and_select(write):
    path = write({WIDTH: {"thin": 4, "wide": 8}, SIZES: [8, 16]})

    def names(*overrides):
        return [config.name for config in load_benchmarks(path, list(overrides))]

    assert {c.protocol.epochs for c in load_benchmarks(path, ["protocol.epochs=7"])} == {7}
    assert names(f"{SIZES}=16") == ["tiny_thin_16", "tiny_wide_16"]
    # By its value, by its label, and with a value that the config does not have.
    assert names(f"{WIDTH}=8", f"{SIZES}=16") == ["tiny_wide_16"]
    assert names(f"{WIDTH}=wide", f"{SIZES}=16") == ["tiny_wide_16"]
    assert names(f"{WIDTH}=2", f"{SIZES}=32") == ["tiny_2_32"]
    assert names("name=other", f"{WIDTH}=wide", f"{SIZES}=16") == ["other_wide_16"]
    assert names("sweep=null", f"{WIDTH}=8", f"{SIZES}=16") == ["tiny"]
    assert names("sweep={protocol.threads: [1, 2]}", f"{WIDTH}=8", f"{SIZES}=16") == [
        "tiny_1",
        "tiny_2",
    ]


def test_one_benchmark_is_loaded_only_where_one_is_selected(write):
    path = write({SIZES: [8, 16]})
    with pytest.raises(InputError, match=r"tiny.yaml sweeps over 2 benchmarks \(tiny_8, tiny_16\)"):
        load_benchmark(path)
    assert load_benchmark(path, [f"{SIZES}=16"]).name == "tiny_16"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("protocol.backbone=identity", "the config sweeps protocol.backbone.small_conv.width"),
        (f"{WIDTH}.x=3", r"select one of its values with protocol\S+=VALUE, or put sweep=null"),
        (f"{SIZES}=0", "protocol.embedding_size: must be at least 1"),
        (f"{SIZES}=[8, 16]", r"embedding_size: \[8, 16\] cannot be part of a name"),
    ],
)
def test_overrides_that_are_refused(write, override, message):
    path = write({WIDTH: [4], SIZES: [8]})
    with pytest.raises(InputError, match=message) as caught:
        load_benchmarks(path, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ([8, 16], "sweep must be a mapping of protocol keys to values"),
        ({}, "sweep must be a mapping"),
        ({"name": ["a", "b"]}, "only keys of the protocol can be swept"),
        ({"methods": [["hyp"]]}, "only keys of the protocol can be swept"),
        ({SIZES: 8}, "must be a list of values or a mapping of labels to values, got 8"),
        ({SIZES: []}, r"must be a list of values .*, got \[\]"),
        ({SIZES: [8, 8]}, r"values must differ from each other, got \['8', '8'\]"),
        ({SIZES: [True]}, "True cannot be part of a name: give each value a label"),
        ({SIZES: {"a/b": 8}}, "cannot be part of a name"),
        ({SIZES: [8, -1]}, "-1 cannot be part of a name"),
        ({SIZES: [8, 0]}, r"tiny.yaml: protocol.embedding_size: .*, got 0"),
        ({"protocol.embeding_size": [8]}, "did you mean 'embedding_size'"),
        ({"protocol.epochs.x": [8]}, "'epochs' is not a section of the config"),
    ],
)
def test_sweeps_that_are_refused(tmp_path, write_config, sweep, message):
    protocol = without(PROTOCOL, "embedding_size")
    path = write_config(tmp_path, {**TINY, "protocol": protocol, "sweep": sweep})
    with pytest.raises(InputError, match=message) as caught:
        load_benchmarks(path)
    assert "\n" not in str(caught.value)


def test_a_key_is_not_both_swept_and_set(tmp_path, write, write_config):
    path = write_config(tmp_path, {**TINY, "sweep": {SIZES: [8, 16]}})
    with pytest.raises(InputError, match=r"embedding_size is set here and swept in \S+tiny.yaml"):
        load_benchmarks(path)
    path = write({SIZES: [8, 16]})
    child = tmp_path / "child.yaml"
    content = {"extends": "tiny.yaml", "name": "child", "protocol": {"embedding_size": 4}}
    child.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"child.yaml: protocol.embedding_size is set here and sw"):
        load_benchmarks(child)
    child.write_text(yaml.safe_dump({**content, "sweep": None}))
    assert [config.name for config in load_benchmarks(child)] == ["child"]


def test_a_sweep_is_inherited_or_replaced(tmp_path, write):
    write({SIZES: [8, 16]})
    child = tmp_path / "child.yaml"
    child.write_text(yaml.safe_dump({"extends": "tiny.yaml", "name": "child"}))
    assert [config.name for config in load_benchmarks(child)] == ["child_8", "child_16"]
    # A child may sweep over what its parent sets.
    grandchild = tmp_path / "grandchild.yaml"
    content = {"extends": "child.yaml", "name": "grandchild", "sweep": {"protocol.epochs": [3, 4]}}
    grandchild.write_text(yaml.safe_dump({**content, "protocol": {"embedding_size": 8}}))
    configs = load_benchmarks(grandchild)
    assert [(c.name, c.protocol.epochs) for c in configs] == [
        ("grandchild_3", 3),
        ("grandchild_4", 4),
    ]


def test_values_tuned_for_one_benchmark_of_a_sweep(tmp_path, write):
    path = write({SIZES: [8, 16]}, methods=["hyp"])
    for folder, about in (("tuned/tiny", "all"), ("tuned/tiny_16", "one")):
        (tmp_path / folder).mkdir(parents=True)
        method = {"extends": "../../methods/hyp.yaml", "about": about}
        (tmp_path / folder / "hyp.yaml").write_text(yaml.safe_dump(method))
    assert [c.methods["hyp"].about for c in load_benchmarks(path)] == ["all", "one"]
    assert {c.methods["hyp"].hash for c in load_benchmarks(path)} == {
        load_benchmark(path, [f"{SIZES}=8"]).methods["hyp"].hash
    }


def test_commands_take_a_sweep(tmp_path, write, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write({SIZES: [4, 8]}, methods=["proxy_anchor"])
    method = {**METHODS["proxy_anchor"], "search": {"loss_lr": {"grid": [0.01, 0.1]}}}
    (tmp_path / "methods/proxy_anchor.yaml").write_text(yaml.safe_dump(method))
    short = ["protocol.epochs=1", "protocol.steps_per_epoch=1", "protocol.seeds=[0]"]
    assert main(["validate", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count("is valid: protocol") == 2
    assert out.index("== tiny_4") < out.index("== tiny_8")
    assert main(["run", str(path), *short, "--jobs", "1"]) == 0
    assert "== tiny_4" in capsys.readouterr().out
    assert (tmp_path / "runs/tiny_4/results.json").is_file()
    assert (tmp_path / "runs/tiny_8/results.json").is_file()
    # The runs of one value are those of the whole sweep.
    assert main(["run", str(path), *short, f"{SIZES}=8", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "==" not in out
    assert "1 finished runs" in out
    assert main(["search", str(path), *short, f"{SIZES}=8", "--trials", "1"]) == 0
    tuned = load_benchmark(tmp_path / "runs/tiny_8-search/tiny_8.yaml")
    assert tuned.name == "tiny_8-tuned"
    assert tuned.protocol.embedding_size == 8
    assert tuned.methods["proxy_anchor"].search_trials == 1


def test_one_failure_stops_no_other_benchmark(tmp_path, write, capsys):
    path = write({SIZES: [4, 8]}, methods=["broken"])
    short = ["protocol.epochs=1", "protocol.steps_per_epoch=2", "protocol.seeds=[0]"]
    assert main(["run", str(path), *short, "--jobs", "1", "--output", str(tmp_path / "runs")]) == 1
    assert capsys.readouterr().err.count("failed: broken") == 2
