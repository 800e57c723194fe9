"""Every config in benchmark_configs is valid, and each of its methods takes a step."""

import json
import math
import re
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from pml_hyperbolic.benchmark.checking.fairness import check_fairness, method_facts
from pml_hyperbolic.benchmark.config import (
    METHOD_FOLDER,
    TUNED_FOLDER,
    extending,
    load_benchmark,
    load_benchmarks,
    read_benchmark,
    read_method,
)
from pml_hyperbolic.benchmark.config.curvature_control import with_flat_twins
from pml_hyperbolic.benchmark.datasets import FeatureData
from pml_hyperbolic.benchmark.results.metric_names import metric_key
from pml_hyperbolic.files import content_hash

from . import tiny_releases
from .steps import one_step

SHIPPED = Path(__file__).resolve().parents[2] / "benchmark_configs"
FILES = sorted(file.relative_to(SHIPPED).as_posix() for file in SHIPPED.rglob("*.yaml"))
METHODS = [file for file in FILES if {METHOD_FOLDER, TUNED_FOLDER} & set(Path(file).parts)]
BENCHMARKS = [file for file in FILES if file not in METHODS]
# Name of a benchmark -> hashes of its protocol and methods. Where one changes, the runs of before
# can no longer be compared with new ones: change it here only on purpose.
HASHES = json.loads((Path(__file__).parent / "shipped_hashes.json").read_text())
SHORT = [
    "protocol.epochs=1",
    "protocol.steps_per_epoch=1",
    "protocol.evaluation={every: 1, recall_at: [1]}",
    "protocol.schedule.trunk_frozen_epochs=0",
]
# Classes of the whole releases that do not test.
NOT_TEST = {
    "cub200": 100,
    "cars196": 98,
    "sop": 11_318,
    "inshop": 3_997,
    "omniglot": 964,
    "grocery": 40,
    "image_folder": 50,
}
# On what it depends whether a method can take a step.
SHAPE = {
    "data",
    "backbone",
    "image",
    "embedding_size",
    "equal_total_dimension",
    "precision",
    "max_gradient_norm",
    "max_gradient_value",
    "network_gradient_scale",
    "sampler",
}
# For tiny releases: few classes of three photos, on a CPU.
TINY = [
    "protocol.sampler.batch_size=8",
    "protocol.sampler.samples_per_class=2",
    "protocol.device=cpu",
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Features of frozen trunks are not kept after the tests."""
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The root of each data set, tiny but in its real layout."""
    return tiny_releases.write_all(tmp_path_factory.mktemp("releases"))


@cache
def plain(benchmark):
    """The benchmarks of a shipped config as they are, with their flat twins."""
    return [with_flat_twins(config) for config in load_benchmarks(SHIPPED / benchmark)]


def small(benchmark, roots):
    """The benchmarks of a shipped config on a tiny data set, with a tiny trunk of the same kind."""
    protocol = plain(benchmark)[0].protocol
    (data,), (backbone,) = protocol.data, protocol.backbone
    overrides = list(SHORT)
    if data in roots:
        overrides += [*TINY, f"protocol.data.{data}.root={roots[data]}"]
        if data not in ("features", "image_folder"):
            overrides.append(f"protocol.data.{data}.verify=false")
    if backbone == "timm":
        convolutional = protocol.backbone["timm"]["model"].startswith(("resnet", "tf_efficient"))
        model, size = ("test_resnet", 32) if convolutional else ("test_vit", 160)
        overrides += [
            f"protocol.backbone.timm.model={model}",
            "protocol.backbone.timm.pretrained=false",
            f"protocol.image.size={size}",
            f"protocol.image.resize={size + 8}",
        ]
    return [with_flat_twins(config) for config in load_benchmarks(SHIPPED / benchmark, overrides)]


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_is_valid(benchmark):
    for config in plain(benchmark):
        for item in config.published:
            assert item.method in config.methods
            assert metric_key(item.metric) == "precision_at_1"
        if benchmark.startswith("paper/"):
            assert config.published, "say what the paper says"
            assert config.name.startswith(Path(benchmark).stem)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_published_number_is_shown(benchmark):
    content, _ = read_benchmark(SHIPPED / benchmark)
    shown = [item.value for config in plain(benchmark) for item in config.published]
    assert sorted(shown) == sorted(item["value"] for item in content.get("published", []))


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_a_readable_page(file):
    lines = text(file).splitlines()
    assert lines[0].startswith("# "), "say in a comment what it is"
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_what_it_is(method):
    assert len(read_method(SHIPPED / method)["about"]) > 10


def test_no_two_benchmarks_share_a_name():
    names = Counter(config.name for benchmark in BENCHMARKS for config in plain(benchmark))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_method_belongs_to_a_benchmark(monkeypatch):
    read, used = extending.read_mapping, set()
    monkeypatch.setattr(extending, "read_mapping", lambda file: used.add(file) or read(file))
    for benchmark in BENCHMARKS:
        load_benchmarks(SHIPPED / benchmark)
    names = {file.resolve().relative_to(SHIPPED).as_posix() for file in used}
    assert names == set(FILES)


def hashes(config):
    """A config's entry of ``HASHES``; flat twins are not part of it."""
    methods = {name: method.hash for name, method in config.methods.items()}
    return {"protocol": config.protocol.hash, "methods": methods}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_hashes_are_kept(benchmark):
    for config in load_benchmarks(SHIPPED / benchmark):
        if config.name in HASHES:
            assert hashes(config) == HASHES[config.name], config.name


def test_no_benchmark_with_a_hash_is_lost():
    names = {config.name for benchmark in BENCHMARKS for config in plain(benchmark)}
    assert set(HASHES) <= names


@pytest.mark.parametrize(
    ("file", "overrides", "name"),
    [
        ("ablations/dimension.yaml", ["protocol.embedding_size=512"], "ablation_dimension_512"),
        ("paper/hier_sop_dino.yaml", ["protocol.embedding_size=384"], "hier_sop_dino_384"),
        (
            "paper/hyp_inshop.yaml",
            ["protocol.embedding_size=384", "protocol.backbone.timm.model=deit"],
            "hyp_inshop_deit_384",
        ),
        (
            "paper/hier_cub200.yaml",
            [
                "protocol.embedding_size=128",
                "protocol.backbone.timm.model=vit_small_patch16_224.augreg_in21k_ft_in1k",
            ],
            "hier_cub200_vit_128",
        ),
    ],
)
def test_an_override_selects_one_benchmark_of_a_sweep(file, overrides, name):
    config = load_benchmark(SHIPPED / file, overrides)
    assert config.name == name
    assert hashes(config) == HASHES[name]


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_models_and_weights_are_published(benchmark):
    for protocol in (config.protocol for config in plain(benchmark)):
        if "timm" not in protocol.backbone:
            continue
        arguments = protocol.backbone["timm"]
        assert arguments["pretrained"]
        assert "." in arguments["model"]
        assert timm.is_model(arguments["model"].partition(".")[0])
        assert arguments["model"] in timm.list_models(pretrained=True)
        _, *size = timm.get_pretrained_cfg(arguments["model"]).input_size
        # Fine-tuning birds at the size of the weights takes too long on two cores.
        smaller = benchmark == "birds.yaml"
        assert size == [protocol.image.size] * 2 or smaller


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_batches_fit_the_whole_release(benchmark):
    # Steps are taken on tiny releases with tiny batches, which would not tell.
    for config in plain(benchmark):
        rest = NOT_TEST.get(*config.protocol.data)
        if rest is not None:
            folds = config.protocol.number_of_folds
            config.protocol.check_batch(rest - math.ceil(rest / folds))


# What has taken a step, in whichever config.
facts = {}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_method_takes_a_step(benchmark, roots):
    for config in small(benchmark, roots):
        shape = config.protocol.model_dump(include=SHAPE)
        keys = {}
        for name, method in config.methods.items():
            extremes = {path: allowed.extremes for path, allowed in method.search.items()}
            keys[name] = content_hash([shape, method.hash, extremes])
            if keys[name] not in facts:
                # Builds the loss at every end of every range that a search may try.
                facts[keys[name]] = method_facts(one_step(config, name))
        check_fairness(config, {name: facts[key] for name, key in keys.items()})


def test_the_example_of_features_is_code_that_works(tmp_path, monkeypatch):
    header = re.search(r"(?m)^#   import.*(?:\n#(?:   .*)?$)+", text("features_example.yaml"))[0]
    code = "\n".join(line[4:] for line in header.splitlines())
    # Nothing is downloaded here.
    code = code.replace('"vit_small_patch16_224.dino", pretrained=True', '"test_vit"')
    assert "test_vit" in code
    for folder, count in (("a", 2), ("b", 3)):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (20, 24), (40 * i, 0, 0)).save(tmp_path / f"photos/{folder}/{i}.jpg")
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    data = FeatureData(next(iter(plain("features_example.yaml")[0].protocol.data.values()))["root"])
    assert data.labels[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert data.features.shape == (5, timm.create_model("test_vit").num_features)
    assert np.isfinite(data.features).all()
    assert not torch.is_inference_mode_enabled()


def text(benchmark):
    return (SHIPPED / benchmark).read_text()
