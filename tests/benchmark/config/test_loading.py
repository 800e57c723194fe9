"""Loading of benchmark configs: every wrong key is named, with the right one beside it."""

import copy

import pytest

from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.errors import InputError

from ..conftest import METHODS, PROTOCOL, TINY


def put(content, path, value):
    """A copy of nested mappings with one more key."""
    content = copy.deepcopy(content)
    *parents, last = path.split(".")
    section = content
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("nam", "name"),
        ("protocl", "protocol"),
        ("protocol.epoch", "epochs"),
        ("protocol.Embedding_Size", "embedding_size"),
        ("protocol.splits.tests", "test"),
        ("protocol.sampler.batchsize", "batch_size"),
        ("protocol.augmentation.random_shifts", "random_shift"),
        ("protocol.optimizer.trunk_learning_rate", "trunk_lr"),
        ("protocol.schedule.warmup", "warmup_steps"),
        ("protocol.evaluation.select", "select_by"),
    ],
)
def test_unknown_key_of_a_benchmark(tmp_path, write_config, refused, path, right):
    config = write_config(tmp_path, put(TINY, path, 1))
    line = refused("validate", config)
    assert f"unknown key {path.split('.')[-1]!r}" in line
    assert f"did you mean {right!r}?" in line
    assert str(config) in line


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("los", "loss"),
        ("losslr", "loss_lr"),
        ("head.space", "spaces"),
        ("regularizer.weigth", "weight"),
    ],
)
def test_unknown_key_of_a_method(tmp_path, write_config, refused, path, right):
    methods = {**METHODS, "hier": put(METHODS["hier"], path, 1)}
    line = refused("run", write_config(tmp_path, methods=methods), "--output", tmp_path / "runs")
    assert f"unknown key {path.split('.')[-1]!r}: did you mean {right!r}?" in line
    assert "hier.yaml" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("key", "home"),
    [
        ("epochs", "protocol.epochs"),
        ("backbone", "protocol.backbone"),
        ("embedding_size", "protocol.embedding_size"),
        ("random_shift", "protocol.augmentation.random_shift"),
        ("batch_size", "protocol.sampler.batch_size"),
        ("trunk_lr", "protocol.optimizer.trunk_lr"),
        ("lr", "protocol.optimizer.trunk_lr"),
        ("select_by", "protocol.evaluation.select_by"),
        ("seeds", "protocol.seeds"),
        ("folds", "protocol.splits.folds"),
        ("validation", "protocol.splits.validation"),
    ],
)
def test_a_method_may_not_touch_the_protocol(tmp_path, write_config, refused, key, home):
    methods = {**METHODS, "hier": {**METHODS["hier"], key: 1}}
    line = refused("validate", write_config(tmp_path, methods=methods))
    assert f"{key!r} is a protocol key" in line
    assert f"at {home} " in line


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["protocol.splits.test=[2, 7]"], r"classes \[2\] are in both train and test"),
        (["protocol.splits.validation=[7, 8]"], r"classes \[7\] are in both validation and test"),
        (["protocol.splits.test=[7]"], "at least 2 values"),
        (["protocol.splits.test=[7, 7]"], "must differ"),
        (["protocol.splits={test: oficial, folds: 2}"], r"splits\.test: .*'official'.*'oficial'"),
        (["protocol.splits={test: official, folds: 1}"], r"protocol\.splits\.folds: .* 2, got 1"),
        (["protocol.splits={test: second_half, fold: 2}"], "did you mean 'folds'"),
        (["protocol.splits.folds=2"], "unknown key 'train'"),
        (["protocol.run_folds=[0, 1]"], r"run_folds names \[1\], but splits has 1 folds"),
        (["protocol.run_folds=[]"], "at least 1 value,"),
        (["protocol.seeds=[1, 1]"], "must differ"),
        (["protocol.seeds=[]"], "at least 1 value,"),
        (["protocol.seeds=[-1]"], "must be at least 0"),
        (["protocol.epochs=0"], "must be at least 1"),
        (["protocol.epochs=two"], "whole number, got 'two'"),
        (["protocol.epochs=true"], "whole number, got true"),
        (["protocol.epochs='3'"], "whole number, got '3'"),
        (["protocol.epochs="], "whole number, got null"),
        (["protocol.optimizer.trunk_lr=0"], "greater than 0"),
        (["protocol.optimizer.trunk_lr=.inf"], "finite"),
        (["protocol.optimizer.name=Adamw"], "'AdamW'"),
        (["protocol.optimizer.arguments.lr=1"], "'lr' would be ignored.*trunk_lr"),
        (["protocol.optimizer.arguments.weight_decay=1"], "it belongs to weight_decay"),
        (["protocol.evaluation.select_by=r_precison"], "select_by: .*'r_precision'"),
        (["protocol.evaluation.every=4"], r"must not exceed epochs \(3\)"),
        (["protocol.evaluation.score_from=4"], r"score_from \(4\) must not exceed epochs \(3\)"),
        (["protocol.evaluation.score_from=0"], "must be at least 1"),
        (["protocol.network_gradient_scale=0"], "greater than 0"),
        (
            ["protocol.sampler.unique_classes=true"],
            "1 batches of 3 of the 3 classes in splits.train, but steps_per_epoch is 4: set it",
        ),
        (["protocol.schedule={shape: step, factor: 0.5}"], "every_epochs is required by shape"),
        (["protocol.schedule={shape: step, every_epochs: 2}"], "factor is required by shape: step"),
        (["protocol.schedule={factor: 0.5}"], "factor belongs to shape: step"),
        (["protocol.schedule.trunk_frozen_epochs=3"], r"must be less than epochs \(3\)"),
        (["protocol.max_gradient_value=0"], "greater than 0"),
        (["protocol.sampler.batch_size=13"], "multiple of samples_per_class, got 13 and 4"),
        (["protocol.sampler.batch_size=16"], "4 classes .* but splits.train has 3"),
        (["protocol.backbone={small_conv: {}, other: {}}"], "expected Name or"),
        (["name=../elsewhere"], "must consist of letters"),
        (["methods=[chest, chest]"], "must differ"),
        (["methods=[]"], "methods must be a list"),
        (["methods=chest"], "list of method names, got 'chest'"),
        (["methods=[chst]"], "no method 'chst'.*did you mean 'chest'?"),
        (["protocol.epochs"], "an override is key=value.*got 'protocol.epochs'"),
        (["=3"], "an override is key=value"),
        (["protocol.epochs.x=3"], "'epochs' is not a section"),
        (["methods.chst.loss_lr=3"], r"methods\.chst\.loss_lr=3: no method 'chst'.*mean 'chest'?"),
        (["methods.hyp.loss_lr=3"], "no method 'hyp' in this benchmark"),
        (["methods.chest={}"], r"give a key of chest, such as methods\.chest\.loss_lr=1"),
        (["methods.chest.losslr=3"], r"chest\.yaml, overridden: unknown key 'losslr'.*'loss_lr'"),
        (["methods.chest.loss_lr=no"], r"chest\.yaml, overridden: loss_lr: must be a number"),
        (["methods.chest.epochs=3"], "'epochs' is a protocol key"),
        (["methods.chest.head=1", "methods.chest.head.spaces=[hyperbolic]"], "'head' is not a sec"),
        (["protocol.seeds=[0"], "not valid YAML"),
        (["protocol.epoch=3"], "did you mean 'epochs'?"),
        (["protocl.epochs=3"], "did you mean 'protocol'?"),
    ],
)
def test_bad_values_and_overrides(load, overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        load(*overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(tmp_path, write_config):
    protocol = {key: value for key, value in PROTOCOL.items() if key != "backbone"}
    with pytest.raises(InputError, match=r"protocol\.backbone: this key is required"):
        load_benchmark(write_config(tmp_path, {**TINY, "protocol": protocol}))


def test_overrides_reach_their_place(load):
    config = load("protocol.epochs=7", "protocol.optimizer.trunk_lr=1e-4", "methods=[hyp]")
    assert config.protocol.epochs == 7
    assert config.protocol.optimizer.trunk_lr == 1e-4
    assert list(config.methods) == ["hyp"]


@pytest.mark.parametrize("name", ["../methods/hyp", "a/b", ".hidden", ""])
def test_method_names_are_no_paths(load, name):
    with pytest.raises(InputError, match="a method's name consists of letters"):
        load(f"methods=['{name}']")


def test_values_of_a_method_from_the_command_line(load):
    plain = load()
    key = "methods.hier.regularizer.use.HIERLoss.distance.PoincareDistance.c"
    config = load("methods.chest.loss_lr=1", f"{key}=0.5", "methods.chest.head.initial_radius=1")
    assert config.methods["chest"].loss_lr == 1
    assert config.methods["chest"].head.initial_radius == 1
    assert config.methods["chest"].loss == plain.methods["chest"].loss
    changed = config.methods["hier"].regularizer.use["HIERLoss"]
    assert changed["distance"] == {"PoincareDistance": {"c": 0.5, "clip_radius": 2.3}}
    assert config.methods["proxy_anchor"] == plain.methods["proxy_anchor"]
    assert config.protocol == plain.protocol


def test_the_last_override_of_a_key_wins(load):
    overrides = [f"methods.chest.loss_lr={rate}" for rate in (1, 2, 1)]
    assert load(*overrides).methods["chest"].loss_lr == 1


def test_an_override_may_choose_another_loss(load):
    config = load("methods.proxy_anchor.loss={ProxyNCALoss: {softmax_scale: 3}}")
    assert config.methods["proxy_anchor"].loss == {"ProxyNCALoss": {"softmax_scale": 3}}


def test_an_override_is_of_the_longest_name(tmp_path, write_config):
    methods = {**METHODS, "chest.v2": METHODS["chest"]}
    path = write_config(tmp_path, {**TINY, "methods": ["chest", "chest.v2"]}, methods)
    config = load_benchmark(path, ["methods.chest.v2.loss_lr=7"])
    assert config.methods["chest.v2"].loss_lr == 7
    assert config.methods["chest"] == load_benchmark(path).methods["chest"]


def test_an_overridden_method_is_not_the_tuned_one(tmp_path, write_config):
    tuned = {
        **METHODS["chest"],
        "search_trials": 8,
        "tuned": {"metric": "r_precision", "value": 0.5, "seeds": [0], "protocol": "aaa"},
    }
    path = write_config(tmp_path, methods={**METHODS, "chest": tuned})
    changed = load_benchmark(path, ["methods.chest.loss_lr=1"]).methods["chest"]
    assert (changed.tuned, changed.search_trials) == (None, None)
    assert changed.different_search_trials
    described = load_benchmark(path, ["methods.chest.about=mine"]).methods["chest"]
    assert described.search_trials == 8
    assert not described.different_search_trials
    untuned = load_benchmark(path, ["methods.hier.loss_lr=1"]).methods["hier"]
    assert not untuned.different_search_trials
