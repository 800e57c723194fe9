"""Every config in benchmark_configs is valid, and each of its methods takes a step."""

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
    load_benchmark,
    read_benchmark,
)
from pml_hyperbolic.benchmark.config.curvature_control import with_flat_twins
from pml_hyperbolic.benchmark.config.yaml_files import read_mapping
from pml_hyperbolic.benchmark.datasets import FeatureData
from pml_hyperbolic.benchmark.results.metric_names import metric_key
from pml_hyperbolic.files import content_hash

from . import tiny_releases
from .steps import one_step

SHIPPED = Path(__file__).resolve().parents[2] / "benchmark_configs"
FILES = sorted(file.relative_to(SHIPPED).as_posix() for file in SHIPPED.rglob("*.yaml"))
METHODS = [file for file in FILES if METHOD_FOLDER in Path(file).parts]
BENCHMARKS = [file for file in FILES if file not in METHODS]
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
}
# For tiny releases: few classes of three photos, on a CPU.
TINY = ["protocol.sampler={batch_size: 8, samples_per_class: 2}", "protocol.device=cpu"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The root of each data set, tiny but in its real layout."""
    return tiny_releases.write_all(tmp_path_factory.mktemp("releases"))


@cache
def plain(benchmark):
    """A shipped config as it is, with its flat twins."""
    return with_flat_twins(load_benchmark(SHIPPED / benchmark))


def small(benchmark, roots):
    """A shipped config on its tiny data set, with a tiny trunk of the same kind."""
    protocol = plain(benchmark).protocol
    (data,), (backbone,) = protocol.data, protocol.backbone
    overrides = list(SHORT)
    if data in roots:
        overrides += [*TINY, f"protocol.data.{data}.root={roots[data]}"]
        overrides += [] if data == "features" else [f"protocol.data.{data}.verify=false"]
    if backbone == "timm":
        convolutional = protocol.backbone["timm"]["model"].startswith("resnet")
        model, size = ("test_resnet", 32) if convolutional else ("test_vit", 160)
        overrides += [
            f"protocol.backbone.timm.model={model}",
            "protocol.backbone.timm.pretrained=false",
            f"protocol.image.size={size}",
            f"protocol.image.resize={size + 8}",
        ]
    return with_flat_twins(load_benchmark(SHIPPED / benchmark, overrides))


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_is_valid(benchmark):
    config = plain(benchmark)
    top = text(benchmark).splitlines()[:4]
    assert any(line.lstrip().startswith("# ") for line in top), "say in a comment what it is"
    for item in config.published:
        assert item.method in config.methods
        assert metric_key(item.metric) == "precision_at_1"
    if benchmark.startswith("paper/"):
        assert config.published, "say what the paper says"
        assert Path(benchmark).stem == config.name


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_what_it_is(method):
    assert len(read_mapping(SHIPPED / method)["about"]) > 10


def test_no_two_configs_share_a_name():
    names = Counter(plain(benchmark).name for benchmark in BENCHMARKS)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_method_belongs_to_a_benchmark():
    used = set()
    for benchmark in BENCHMARKS:
        content, files = read_benchmark(SHIPPED / benchmark)
        for name in content["methods"]:
            homes = [file.parent / METHOD_FOLDER for file in files]
            places = [
                p for home, f in zip(homes, files, strict=True) for p in (home / f.stem, home)
            ]
            used.add(next(p for p in places if (p / f"{name}.yaml").is_file()) / f"{name}.yaml")
    assert {SHIPPED / method for method in METHODS} == used


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_models_and_weights_are_published(benchmark):
    protocol = plain(benchmark).protocol
    if "timm" not in protocol.backbone:
        return
    arguments = protocol.backbone["timm"]
    assert arguments["pretrained"]
    assert "." in arguments["model"]
    assert timm.is_model(arguments["model"].partition(".")[0])
    assert arguments["model"] in timm.list_models(pretrained=True)
    _, *size = timm.get_pretrained_cfg(arguments["model"]).input_size
    assert size == [protocol.image.size] * 2


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_batches_fit_the_whole_release(benchmark):
    # Steps are taken on tiny releases with tiny batches, which would not tell.
    protocol = plain(benchmark).protocol
    rest = NOT_TEST.get(*protocol.data)
    if rest is not None:
        protocol.check_batch(rest - math.ceil(rest / protocol.number_of_folds))


# What has taken a step, in whichever config.
facts = {}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_method_takes_a_step(benchmark, roots):
    config = small(benchmark, roots)
    shape = config.protocol.model_dump(include=SHAPE)
    keys = {
        name: content_hash([shape, method.hash, {p: s.extremes for p, s in method.search.items()}])
        for name, method in config.methods.items()
    }
    for name, key in keys.items():
        if key not in facts:
            # Builds the loss at every end of every range that a search may try.
            facts[key] = method_facts(one_step(config, name))
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
    data = FeatureData(next(iter(plain("features_example.yaml").protocol.data.values()))["root"])
    assert data.labels[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert data.features.shape == (5, timm.create_model("test_vit").num_features)
    assert np.isfinite(data.features).all()
    assert not torch.is_inference_mode_enabled()


def text(benchmark):
    return (SHIPPED / benchmark).read_text()
