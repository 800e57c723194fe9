"""A benchmark: its published numbers, its baseline, and its resolved form."""

import pytest
import yaml

from pml_hyperbolic.benchmark.config import BenchmarkConfig, load_benchmark

from ..conftest import TINY


def test_the_resolved_config_is_a_config(load):
    config = load()
    again = yaml.safe_load(yaml.safe_dump(config.model_dump()))
    assert BenchmarkConfig.model_validate(again) == config


def test_keeping_snapshots_is_part_of_no_hash(load):
    plain, without = load(), load("keep_snapshots=false")
    assert plain.keep_snapshots
    assert not without.keep_snapshots
    assert without.protocol.hash == plain.protocol.hash
    assert [m.hash for m in without.methods.values()] == [m.hash for m in plain.methods.values()]


PUBLISHED = {"method": "hier", "metric": "R@1", "value": 85.7, "source": "HIER, Table 1"}


def test_published_numbers_and_the_baseline_are_no_part_of_the_protocol(tmp_path, write_config):
    plain = load_benchmark(write_config(tmp_path))
    told = load_benchmark(
        write_config(tmp_path, {**TINY, "baseline": "hier", "published": [PUBLISHED]})
    )
    assert told.published[0].value == 85.7
    assert told.baseline == "hier"
    assert told.protocol.hash == plain.protocol.hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "Recall"}, "unknown metric 'Recall', expected R@1"),
        ({"value": 101}, "must be at most 100"),
        ({"source": ""}, "must not be empty"),
        ({"from": "x"}, "unknown key 'from'"),
    ],
)
def test_wrong_published_numbers(tmp_path, write_config, refused, changes, message):
    content = {**TINY, "published": [{**PUBLISHED, **changes}]}
    assert message in refused("validate", write_config(tmp_path, content))


def test_a_baseline_that_is_no_method(tmp_path, write_config, refused):
    line = refused("validate", write_config(tmp_path, {**TINY, "baseline": "heir"}))
    assert "baseline 'heir' is none of the methods: did you mean 'hier'?" in line


def test_a_published_number_is_kept_where_it_matches_the_protocol(tmp_path, write_config):
    items = [
        {**PUBLISHED, "value": 1.0},
        {**PUBLISHED, "value": 2.0, "embedding_size": 8},
        {**PUBLISHED, "value": 3.0, "embedding_size": 16},
        {**PUBLISHED, "value": 4.0, "backbone": "small_conv"},
        {**PUBLISHED, "value": 5.0, "embedding_size": 16, "backbone": "test_vit"},
    ]
    path = write_config(tmp_path, {**TINY, "published": items})

    def kept(*overrides):
        return [item.value for item in load_benchmark(path, list(overrides)).published]

    assert kept() == [1, 2, 4]
    assert kept("protocol.embedding_size=16") == [1, 3, 4]
    vit = "protocol.backbone={timm: {model: test_vit}}"
    assert kept(vit) == [1, 2]
    assert kept(vit, "protocol.embedding_size=16") == [1, 3, 5]
