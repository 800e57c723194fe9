"""`extends: FILE`: what a child says wins, what it does not say is its parent's."""

import pytest
import yaml

from pml_hyperbolic.benchmark.config import load_benchmark
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
    places = [below / "child", below, above / "tiny", above]
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
        ({"protocol": {"epochs": {"a": 1}}}, r"child.yaml: protocol.epochs: .*valid integer"),
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


def test_overrides_of_extends_are_refused(child):
    with pytest.raises(InputError, match="unknown key 'extends'"):
        load_benchmark(child({}), ["extends=other.yaml"])
