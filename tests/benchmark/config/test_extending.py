"""`extends: FILE`: what a child says wins, what it does not say is its parent's."""

import copy

import pytest
import yaml

from pml_hyperbolic.benchmark.config import MethodConfig, load_benchmark, read_method
from pml_hyperbolic.errors import InputError

from ..conftest import METHODS, PROTOCOL


@pytest.fixture
def child(config_file):
    """A function that writes a config in a folder below that extends the tiny one: its path."""

    def write(content, name="child", extends="../tiny.yaml"):
        path = config_file.parent / "below" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({"name": name, "extends": extends, **content}))
        return path

    return write


def protocol_of(path, *overrides):
    return load_benchmark(path, list(overrides)).protocol.model_dump()


def test_mappings_are_merged_and_all_else_replaced(child, load):
    path = child(
        {
            "methods": ["chest"],
            "protocol": {
                "seeds": [7],
                "epochs": 5,
                "optimizer": {"trunk_lr": 0.5, "arguments": {"eps": 1e-4}},
                "backbone": {"small_conv": {"blocks": 2}},
                "evaluation": {"recall_at": [2]},
            },
        }
    )
    config, parent = load_benchmark(path), load()
    expected = parent.protocol.model_dump()
    expected["seeds"], expected["epochs"] = [7], 5
    expected["optimizer"].update(trunk_lr=0.5, arguments={"eps": 1e-4})
    expected["backbone"] = {"small_conv": {"width": 4, "blocks": 2}}
    expected["evaluation"]["recall_at"] = [2]
    assert config.protocol.model_dump() == expected
    assert config.name == "child"
    assert list(config.methods) == ["chest"]


def test_a_child_that_changes_nothing_is_its_parent(child, load):
    config, parent = load_benchmark(child({})), load()
    assert config.protocol == parent.protocol
    assert config.methods == parent.methods


def test_another_choice_replaces_the_parents(child):
    changes = {"data": {"omniglot": {"root": "x"}}, "backbone": "identity"}
    protocol = protocol_of(child({"protocol": {**changes, "splits": {"test": "official"}}}))
    assert protocol["data"] == {"omniglot": {"root": "x"}}
    assert protocol["backbone"] == {"identity": {}}
    assert protocol["splits"] == {"test": "official", "folds": 4}
    other = child({"protocol": {"backbone": {"timm": {"model": "test_vit"}}}})
    assert protocol_of(other)["backbone"] == {"timm": {"model": "test_vit"}}
    some = child({"protocol": {"splits": {"test": [8, 9]}}})
    assert protocol_of(some)["splits"] == {**PROTOCOL["splits"], "test": [8, 9]}


def test_null_takes_back_what_the_parent_says(child):
    stepped = {"shape": "step", "every_epochs": 2, "factor": 0.5}
    child({"protocol": {"schedule": stepped, "max_gradient_norm": 3.0}}, "stepped")
    changes = {"shape": "cosine", "every_epochs": None, "factor": None}
    path = child(
        {"protocol": {"schedule": changes, "max_gradient_norm": None}}, extends="stepped.yaml"
    )
    protocol = protocol_of(path)
    assert protocol["schedule"]["shape"] == "cosine"
    assert protocol["schedule"]["every_epochs"] is None
    assert protocol["max_gradient_norm"] is None


def test_chains_and_overrides(child):
    child({"protocol": {"epochs": 5, "threads": 2, "steps_per_epoch": 8}}, "middle")
    path = child({"protocol": {"epochs": 6}}, extends="middle.yaml")
    protocol = protocol_of(path, "protocol.threads=3")
    expected = {"epochs": 6, "threads": 3, "steps_per_epoch": 8, "embedding_size": 8}
    assert {key: protocol[key] for key in expected} == expected


def test_methods_are_looked_up_from_the_child_upwards(child, config_file):
    def method(folder, name, about):
        folder.mkdir(parents=True, exist_ok=True)
        content = {**METHODS["hyp"], "about": about}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))

    path = child({"methods": ["one", "two", "three", "hyp"]})
    below, above = path.parent / "methods", config_file.parent / "methods"
    places = [path.parent / "tuned/child", below, above.parent / "tuned/tiny", above]
    for i, name in enumerate(["one", "two", "three", "hyp"]):
        for folder in places[i:]:
            method(folder, name, str(folder))
    found = load_benchmark(path).methods
    assert [m.about for m in found.values()] == list(map(str, places))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"extends": "child.yaml"}, r"child.yaml extends \S+child.yaml: a config cannot extend it"),
        ({"extends": "middle.yaml"}, r"child\S+ extends \S+middle\S+ extends \S+child\S+: a conf"),
        ({"extends": "no.yaml"}, r"child.yaml: extends: cannot read \S+no.yaml: No such file"),
        ({"extends": ["../tiny.yaml"]}, r"extends must be one file, .* got \['../tiny.yaml'\]"),
        ({"extends": ""}, "extends must be one file"),
        ({"name": None}, "name is required: a config that extends another needs one of its own"),
        ({"protocol": {"optimizer": {"lr": 1}}}, r"child.yaml: protocol.optimizer: unknown key"),
        (
            {"protocol": {"epochs": {"a": 1}}},
            r"child.yaml: protocol.epochs: must be a whole number",
        ),
        ({"protocol": 3}, "child.yaml: protocol: "),
        ({"methods": ["hiper"]}, r"no method 'hiper' .*did you mean 'hier'"),
    ],
)
def test_what_is_refused(child, content, message):
    child({}, "middle", extends="child.yaml")
    with pytest.raises(InputError, match=message) as caught:
        load_benchmark(child(content))
    assert "\n" not in str(caught.value)


def test_a_parent_that_is_not_yaml_is_named(child):
    path = child({}, extends="broken.yaml")
    (path.parent / "broken.yaml").write_text("a: [1")
    with pytest.raises(InputError, match=r"child.yaml: extends: \S+broken.yaml.* is not valid"):
        load_benchmark(path)


def test_a_chain_is_two_files_long_at_most(child):
    child({}, "one")
    child({}, "two", extends="one.yaml")
    assert load_benchmark(child({}, "one")).name == "one"
    assert load_benchmark(child({}, "two", extends="one.yaml")).name == "two"
    with pytest.raises(InputError) as caught:
        load_benchmark(child({}, "three", extends="two.yaml"))
    line = str(caught.value)
    for part in ("three.yaml extends", "two.yaml extends", "one.yaml extends", "which must extend"):
        assert part in line
    assert "\n" not in line


def test_a_child_in_its_parents_folder_has_its_methods(config_file):
    folder = config_file.parent
    (folder / "tuned/tiny").mkdir(parents=True)
    tuned = {**METHODS["hier"], "about": "tuned"}
    (folder / "tuned/tiny/hier.yaml").write_text(yaml.safe_dump(tuned))
    parent = yaml.safe_load(config_file.read_text())
    parent["methods"][2] = {"chest": {"extends": "methods/chest.yaml", "about": "written here"}}
    config_file.write_text(yaml.safe_dump(parent))
    child = folder / "child.yaml"
    child.write_text(yaml.safe_dump({"extends": "tiny.yaml", "name": "child"}))
    methods = load_benchmark(child).methods
    assert methods == load_benchmark(config_file).methods
    assert [method.about for method in methods.values()] == ["", "tuned", "written here"]


def test_the_former_place_of_tuned_values_is_read(config_file):
    folder = config_file.parent / "methods/tiny"
    folder.mkdir()
    (folder / "hier.yaml").write_text(yaml.safe_dump({**METHODS["hier"], "about": "tuned"}))
    assert load_benchmark(config_file).methods["hier"].about == "tuned"


def test_methods_written_in_a_benchmark(config_file, child):
    own = {"about": "own", "loss": "MultiSimilarityLoss"}
    low = {"extends": "../methods/hier.yaml", "regularizer": {"weight": 0.1}}
    path = child({"methods": ["proxy_anchor", {"own": own}, {"low": low}]})
    methods = load_benchmark(path).methods
    assert list(methods) == ["proxy_anchor", "own", "low"]
    assert methods["own"] == MethodConfig.model_validate(own)
    assert methods["low"].regularizer.weight == 0.1
    assert methods["low"].regularizer.lr == 0.01
    # Overrides choose among them by name.
    assert list(load_benchmark(path, ["methods=[low]"]).methods) == ["low"]
    # Tuned values come before what the config says.
    tuned = path.parent / "tuned/child"
    tuned.mkdir(parents=True)
    (tuned / "own.yaml").write_text(yaml.safe_dump({**own, "about": "tuned"}))
    assert load_benchmark(path).methods["own"].about == "tuned"
    # A grandchild in another folder finds them, too, and their parents.
    folder = path.parent / "further"
    folder.mkdir()
    grandchild = folder / "grandchild.yaml"
    grandchild.write_text(yaml.safe_dump({"extends": "../child.yaml", "name": "grandchild"}))
    assert load_benchmark(grandchild).methods["low"] == methods["low"]


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ([{"own": {"los": "x"}}], r"child.yaml: methods: own: unknown key 'los'"),
        ([{"own": {}}], r"child.yaml: methods: own: loss: this key is required"),
        ([{"own": {"extends": "no.yaml"}}], r"child.yaml: extends: cannot read \S+no.yaml"),
        ([{"own": {"extends": "child.yaml"}}], "child.yaml: a config cannot extend itself"),
        ([{"own": "hier"}], "methods must be a list of method names"),
        ([{"hier": {"loss": "TripletMarginLoss"}}, "hier"], "must differ from each other"),
        ([{"../x": {"loss": "TripletMarginLoss"}}], "a method's name consists of letters"),
    ],
)
def test_methods_in_a_benchmark_that_are_refused(child, methods, message):
    with pytest.raises(InputError, match=message) as caught:
        load_benchmark(child({"methods": methods}))
    assert "\n" not in str(caught.value)


PARENT = {
    "about": "the parent",
    "loss": {"SoftTripleLoss": {"la": 20, "margin": 0.01, "distance": {"PoincareSimilarity": {}}}},
    "regularizer": {"use": {"HIERLoss": {"num_proxies": 8}}, "weight": 0.5, "lr": 0.01},
    "miner": {"MultiSimilarityMiner": {"epsilon": 0.1}},
    "loss_lr": 0.01,
    "head": {"spaces": ["hyperbolic"], "initial_radius": 1.15},
    "search": {"loss_lr": {"low": 1e-4, "high": 1}, "regularizer.lr": {"grid": [0.1, 1]}},
    "search_trials": 5,
    "tuned": {"metric": "r_precision", "value": 0.5, "seeds": [0], "protocol": "x"},
    "flat_twin_of": "another",
}


def changed(**changes):
    """The parent without what is not inherited, with changes at dotted paths (a__b)."""
    content = copy.deepcopy(PARENT)
    for key in ("tuned", "search_trials", "flat_twin_of"):
        del content[key]
    for path, value in changes.items():
        *parents, last = path.split("__")
        section = content
        for parent in parents:
            section = section[parent]
        section[last] = value
    return content


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ({}, changed()),
        # The same name merges, another name or a bare name replaces.
        ({"loss": {"SoftTripleLoss": {"la": 5}}}, changed(loss__SoftTripleLoss__la=5)),
        ({"loss": {"ProxyAnchorLoss": {}}}, changed(loss={"ProxyAnchorLoss": {}})),
        ({"loss": "SoftTripleLoss"}, changed(loss="SoftTripleLoss")),
        ({"miner": {"TripletMarginMiner": {}}}, changed(miner={"TripletMarginMiner": {}})),
        ({"miner": None}, changed(miner=None)),
        # So do objects within the arguments.
        (
            {"loss": {"SoftTripleLoss": {"distance": {"PoincareSimilarity": {"c": 1.0}}}}},
            changed(loss__SoftTripleLoss__distance={"PoincareSimilarity": {"c": 1.0}}),
        ),
        (
            {"loss": {"SoftTripleLoss": {"distance": {"CosineSimilarity": {}}}}},
            changed(loss__SoftTripleLoss__distance={"CosineSimilarity": {}}),
        ),
        # Weight and rate of a regularizer belong to it.
        ({"regularizer": {"weight": 0.1}}, changed(regularizer__weight=0.1)),
        (
            {"regularizer": {"use": {"HIERLoss": {"num_proxies": 4}}}},
            changed(regularizer__use__HIERLoss__num_proxies=4),
        ),
        ({"regularizer": {"use": "HypHC"}}, changed(regularizer={"use": "HypHC"})),
        # Lists replace, and so does a search.
        ({"head": {"spaces": ["euclidean"]}}, changed(head__spaces=["euclidean"])),
        ({"head": {"initial_radius": None}}, changed(head__initial_radius=None)),
        ({"search": {"loss_lr": {"grid": [1, 2]}}}, changed(search={"loss_lr": {"grid": [1, 2]}})),
        ({"search_trials": 7}, {**changed(), "search_trials": 7}),
    ],
)
def test_a_method_extends_a_method(tmp_path, child, expected):
    (tmp_path / "below").mkdir()
    (tmp_path / "parent.yaml").write_text(yaml.safe_dump(PARENT))
    path = tmp_path / "below/child.yaml"
    path.write_text(yaml.safe_dump({"extends": "../parent.yaml", **child}))
    assert read_method(path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"extends": "hier.yaml"}, r"hier.yaml extends \S+hier.yaml: a config cannot extend it"),
        ({"extends": "no.yaml"}, r"hier.yaml: extends: cannot read \S+no.yaml: No such file"),
        ({"extends": 3}, "extends must be one file, .* or the name of a shipped config, got 3"),
        ({"extends": "two.yaml"}, r"hier.yaml extends \S+two\S+ extends \S+one\S+ extends \S+hyp"),
        ({"extends": "hyp.yaml", "epochs": 1}, "hier.yaml: 'epochs' is a protocol key"),
        ({"extends": "../tiny.yaml"}, "hier.yaml: unknown key"),
    ],
)
def test_methods_that_cannot_extend(config_file, content, message):
    folder = config_file.parent / "methods"
    (folder / "one.yaml").write_text("extends: hyp.yaml")
    (folder / "two.yaml").write_text("extends: one.yaml")
    (folder / "hier.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=message) as caught:
        load_benchmark(config_file)
    assert "\n" not in str(caught.value)


def test_overrides_of_extends_are_refused(child):
    with pytest.raises(InputError, match="unknown key 'extends'"):
        load_benchmark(child({}), ["extends=other.yaml"])
