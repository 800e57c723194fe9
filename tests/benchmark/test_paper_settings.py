"""Every config in paper/ is what its paper's authors ran, setting by setting.

The numbers stand in this file, as they were read in the repositories of the authors (see
docs/paper_settings.md), and not in the configs.
"""

import math
from pathlib import Path
from typing import NamedTuple

import pytest

from pml_hyperbolic.benchmark.config import load_benchmarks
from pml_hyperbolic.benchmark.config.strict_model import StrictModel

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "benchmark_configs/paper"
VIT = "vit_small_patch16_224.augreg_in21k_ft_in1k"
DEIT = "deit_small_distilled_patch16_224.fb_in1k"
DINO = "vit_small_patch16_224.dino"
RESNET = "resnet50.tv_in1k"


class Release(NamedTuple):
    """A data set: what trains there, and how many folds there are here, of which one selects."""

    classes: int
    photos: int
    folds: int
    recall_at: list[int]

    @property
    def left(self):
        """The classes that train here."""
        return self.classes - math.ceil(self.classes / self.folds)

    def steps(self, batch):
        """Steps of an epoch where it is as many photos as there are."""
        return self.photos * self.left // self.classes // batch


RELEASES = {
    "cub200": Release(100, 5864, 10, [1, 2, 4, 8]),
    "cars196": Release(98, 8054, 13, [1, 2, 4, 8]),
    "sop": Release(11318, 59551, 10, [1, 10, 100, 1000]),
    "inshop": Release(3997, 25882, 10, [1, 10, 20, 30]),
}


class Hyp(NamedTuple):
    """A line of the README of Hyp's code."""

    views: int
    batch: int
    epochs: int
    resize: int
    steps: int


HYP = {
    "cub200": Hyp(9, 900, 50, 256, 50),
    "cars196": Hyp(9, 882, 300, 224, 300),
    "sop": Hyp(2, 900, 200, 224, 5000),
    "inshop": Hyp(2, 900, 400, 224, 3200),
}
HYP_RATE = {VIT: 3e-5, DEIT: 3e-5, DINO: 1e-5}


class Hier(NamedTuple):
    """What the scripts of HIER say of a data set; halving and factor are ResNet-50's."""

    epochs: int
    warmup: int
    weight_decay: float
    head_factor: float
    every: int
    resnet_rate: float
    resnet_step: int
    resnet_factor: float


HIER = {
    "cub200": Hier(100, 1, 1e-2, 1, 1, 1e-4, 5, 0.5),
    "cars196": Hier(100, 1, 1e-2, 1, 1, 1e-4, 10, 0.5),
    "sop": Hier(150, 5, 1e-4, 100, 5, 6e-4, 25, 0.3),
    "inshop": Hier(150, 5, 1e-4, 100, 1, 6e-4, 20, 0.3),
}
HIER_RATE = {VIT: 1e-5, DEIT: 1e-5, DINO: 5e-6}


def expected_names():
    """Name of every benchmark -> (method, data set, model, dimension)."""
    models = {"vit": VIT, "deit": DEIT}
    for method in ("hier", "hyp"):
        for data in RELEASES:
            for size in (128, 384):
                for short, model in models.items():
                    yield f"{method}_{data}_{short}_{size}", (method, data, model, size)
                yield f"{method}_{data}_dino_{size}", (method, data, DINO, size)
            yield f"{method}_{data}_resnet50_512", (method, data, RESNET, 512)


EXPECTED = dict(expected_names())


def common(data, model, size):
    """The settings that all have, and those that say where ours run."""
    release = RELEASES[data]
    vit = {"freeze_patch_embedding": True, "class_token_only": "training"}
    resnet = {
        "pooling": "avgmax",
        "batch_norm": {"statistics": "frozen", "affine": "trained"},
        "freeze_patch_embedding": False,
    }
    backbone = {"model": model, "pretrained": True, **(resnet if model == RESNET else vit)}
    return {
        "data": {data: {"root": f"data/{data}"}},
        "splits": {"test": "official", "folds": release.folds},
        "run_folds": [0],
        "backbone": {"timm": backbone},
        "embedding_size": size,
        "equal_total_dimension": True,
        "precision": "float16",
        "seeds": [0, 1, 2],
        "device": "auto",
        "threads": 1,
    }


def image(resize):
    return {"size": 224, "resize": resize, "interpolation": "bicubic"}


def augmentation(smallest):
    return {
        "random_resized_crop": {"scale": [smallest, 1.0], "ratio": [3 / 4, 4 / 3]},
        "random_shift": 0,
        "horizontal_flip": True,
    }


def optimizer(trunk, head, weight_decay, **arguments):
    return {
        "name": "AdamW",
        "trunk_lr": pytest.approx(trunk),
        "head_lr": pytest.approx(head),
        "weight_decay": weight_decay,
        "arguments": arguments,
    }


def schedule(frozen, step=None, factor=None):
    return {
        "shape": "constant" if step is None else "step",
        "warmup_steps": 0,
        "every_epochs": step,
        "factor": factor,
        "trunk_frozen_epochs": frozen,
    }


def sampler(batch, views, *, unique=False, replacement=False):
    return {
        "batch_size": batch,
        "samples_per_class": views,
        "unique_classes": unique,
        "replacement": replacement,
    }


def evaluation(data, every, first, select_by):
    return {
        "every": every,
        "score_from": first,
        "batch_size": 256,
        "select_by": select_by,
        "recall_at": RELEASES[data].recall_at,
    }


def hyp_protocol(data, model, size):
    paper, left = HYP[data], RELEASES[data].left
    batch = min(paper.batch, left * paper.views)
    rate = HYP_RATE[model]
    return {
        **common(data, model, size),
        "sampler": sampler(batch, paper.views, unique=True),
        "image": image(paper.resize),
        "augmentation": augmentation(0.2),
        "optimizer": optimizer(rate, rate, 1e-2),
        "schedule": schedule(0),
        "max_gradient_norm": 3,
        "max_gradient_value": None,
        "network_gradient_scale": 1.0,
        "epochs": paper.epochs,
        # One pass over the classes.
        "steps_per_epoch": left // (batch // paper.views),
        # The last epoch alone.
        "evaluation": evaluation(data, paper.epochs, None, "mean_average_precision_at_r"),
    }


def hier_protocol(data, model, size):
    paper, resnet = HIER[data], model == RESNET
    rate = paper.resnet_rate if resnet else HIER_RATE[model]
    # The author's later word on ResNet-50: no warm-up on CUB and Cars.
    warmup = 0 if resnet and paper.warmup == 1 else paper.warmup
    # The scripts count epochs from 0 and score none before the warm-up is over.
    late = data in ("sop", "inshop")
    first = 41 if late else (None if resnet else warmup + 1)
    return {
        **common(data, model, size),
        "sampler": sampler(180, 2, replacement=True),
        "image": image(256),
        "augmentation": augmentation(0.08 if resnet else 0.2),
        "optimizer": optimizer(
            rate, rate * (1 if resnet else paper.head_factor), paper.weight_decay, eps=1e-4
        ),
        "schedule": schedule(warmup, *((paper.resnet_step, paper.resnet_factor) if resnet else ())),
        "max_gradient_norm": None,
        "max_gradient_value": 10,
        "network_gradient_scale": 0.5,
        "epochs": paper.epochs,
        "steps_per_epoch": RELEASES[data].steps(180),
        "evaluation": evaluation(data, paper.every, first, "precision_at_1"),
    }


def method_settings(loss, *, layer_norm, regularizer=None, loss_lr=None, decay=0.0):
    return {
        "loss": loss,
        "regularizer": regularizer,
        "miner": None,
        "loss_lr": loss_lr,
        "loss_weight_decay": decay,
        "head": {"spaces": ["hyperbolic"], "initial_radius": None, "layer_norm": layer_norm},
    }


def ball(**more):
    return {"PoincareDistance": {"c": 0.1, "clip_radius": 2.3, **more}}


def hyp_method(model):
    in_hier = model == RESNET
    distance = ball(riemannian_gradient=True) if in_hier else ball()
    return method_settings(
        {"HypLoss": {"temperature": 0.2, "distance": distance}}, layer_norm=in_hier
    )


def hier_method(data, model):
    paper = HIER[data]
    rate = paper.resnet_rate if model == RESNET else HIER_RATE[model]
    distance = ball(riemannian_gradient=True)
    return method_settings(
        {
            "ProxyAnchorLoss": {
                "margin": 0.1,
                "alpha": 32,
                "distance": {"RiemannianCosineSimilarity": {"distance": distance}},
            }
        },
        layer_norm=True,
        regularizer={
            "use": {
                "HIERLoss": {
                    "num_proxies": 512,
                    "num_neighbors": 20,
                    "triplets_per_anchor": 50,
                    "temperature": 0.1,
                    "margin": 0.1,
                    "anchor_as_negative": True,
                    "distance": distance,
                }
            },
            "weight": 0.5,
            "on": None,
            "lr": pytest.approx(50 * rate),
        },
        loss_lr=pytest.approx(1e4 * rate),
        decay=paper.weight_decay,
    )


def compare(section, expected, where):
    """Compare every key of a section; one that is not expected must be at its default."""
    fields = type(section).model_fields
    assert set(expected) <= set(fields), where
    for name, field in fields.items():
        value, place = getattr(section, name), f"{where}.{name}"
        if name not in expected:
            assert value == field.get_default(call_default_factory=True), place
        elif isinstance(value, StrictModel):
            compare(value, expected[name], place)
        else:
            assert value == expected[name], place


@pytest.fixture(scope="module")
def configs():
    """All benchmarks of the folder, by name."""
    loaded = (config for file in sorted(PAPER.glob("*.yaml")) for config in load_benchmarks(file))
    return {config.name: config for config in loaded}


def test_no_benchmark_is_missing_or_unknown(configs):
    assert set(configs) == set(EXPECTED)
    assert len(configs) == 56


@pytest.mark.parametrize("name", EXPECTED)
def test_the_protocol_is_the_papers(configs, name):
    method, data, model, size = EXPECTED[name]
    if method == "hyp" and model != RESNET:
        expected = hyp_protocol(data, model, size)
    else:
        expected = hier_protocol(data, model, size)
    if method == "hyp" and model == RESNET:
        # HIER's loss SupCon is the mean over all 8 x 8 pairs of views, HypLoss is their sum.
        expected["sampler"] = sampler(176, 8, replacement=True)
        expected["steps_per_epoch"] = RELEASES[data].steps(176)
        expected["network_gradient_scale"] = 0.5 / 8**2
    compare(configs[name].protocol, expected, "protocol")


@pytest.mark.parametrize("name", EXPECTED)
def test_the_method_is_the_papers(configs, name):
    method, data, model, _ = EXPECTED[name]
    expected = hyp_method(model) if method == "hyp" else hier_method(data, model)
    assert list(configs[name].methods) == [method]
    found = configs[name].methods[method]
    compare(found, {"about": found.about, **expected}, method)


@pytest.mark.parametrize("data", RELEASES)
def test_the_papers_steps_are_one_pass_over_its_classes_an_epoch(data):
    paper = HYP[data]
    assert paper.epochs * (RELEASES[data].classes // (paper.batch // paper.views)) == paper.steps


@pytest.mark.parametrize("name", EXPECTED)
def test_scored_epochs_are_those_of_the_authors_loops(configs, name):
    method, data, model, _ = EXPECTED[name]
    protocol = configs[name].protocol
    scored = list(protocol.evaluation.scored_epochs(protocol.epochs))
    if method == "hyp" and model != RESNET:
        assert scored == [HYP[data].epochs]
        return
    warmup = protocol.schedule.trunk_frozen_epochs
    assert scored == [
        epoch + 1
        for epoch in range(HIER[data].epochs)
        if epoch % HIER[data].every == 0
        and epoch >= warmup
        and (data in ("cub200", "cars196") or epoch >= 40)
    ]


@pytest.mark.parametrize("name", ["hyp_sop", "hyp_sop_dino", "hyp_inshop", "hyp_inshop_dino"])
def test_headers_say_how_the_steps_come_about(configs, name):
    data = name.split("_")[1]
    lines = (PAPER / f"{name}.yaml").read_text().splitlines()
    header = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    release, paper = RELEASES[data], HYP[data]
    steps = release.left // 450
    for words in (
        f"{release.left:,} // 450 = {steps} steps",
        f"{paper.epochs} epochs are {paper.epochs * steps:,} steps (there {paper.steps:,})",
    ):
        assert words in header
