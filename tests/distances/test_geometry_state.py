"""The geometry travels with the state_dict of every public module that has a curvature."""

import copy
import io

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses

import pml_hyperbolic.heads
from pml_hyperbolic import distances, losses, regularizers
from pml_hyperbolic.distances import (
    PoincareDistance,
    PoincareSimilarity,
    RiemannianCosineSimilarity,
)
from pml_hyperbolic.distributed import DistributedLoss
from pml_hyperbolic.losses import CHESTLoss, HIERLoss, HypLoss, MultiLevelLoss
from pml_hyperbolic.regularizers import HIERRegularizer, HypHCRegularizer

SIZE = 4
ANCESTORS = torch.tensor([[0, 0], [1, 0], [2, 1]])
# Public modules that put no vector on a ball.
WITHOUT_GEOMETRY = {"HyperbolicEmbedder", "TwoSpaceEmbedder"}


# Name of a public class -> how to build it in a geometry.
PUBLIC = {
    "PoincareDistance": PoincareDistance,
    "PoincareSimilarity": PoincareSimilarity,
    "RiemannianCosineSimilarity": lambda **g: RiemannianCosineSimilarity(
        PoincareDistance(riemannian_gradient=True, **g)
    ),
    "CHESTLoss": lambda **g: CHESTLoss(3, SIZE, SIZE, distance=PoincareSimilarity(**g)),
    "HIERLoss": lambda **g: HIERLoss(SIZE, 6, distance=PoincareDistance(**g)),
    "HypLoss": lambda **g: HypLoss(distance=PoincareDistance(**g)),
    "MultiLevelLoss": lambda **g: MultiLevelLoss(
        [pml_losses.ProxyAnchorLoss(n, SIZE, distance=PoincareSimilarity(**g)) for n in (3, 2)],
        ANCESTORS,
    ),
    "HIERRegularizer": lambda **g: HIERRegularizer(SIZE, 6, distance=PoincareDistance(**g)),
    "HypHCRegularizer": lambda **g: HypHCRegularizer(distance=PoincareDistance(**g)),
}
OTHERS = {
    "ProxyAnchorLoss": lambda **g: pml_losses.ProxyAnchorLoss(
        3, SIZE, distance=PoincareSimilarity(**g)
    ),
    "CrossBatchMemory": lambda **g: pml_losses.CrossBatchMemory(
        pml_losses.ContrastiveLoss(distance=PoincareDistance(**g)), SIZE, 8
    ),
    "MultipleLosses": lambda **g: pml_losses.MultipleLosses(
        [PUBLIC["HIERLoss"](**g), OTHERS["ProxyAnchorLoss"](**g)]
    ),
    "DistributedLoss": lambda **g: DistributedLoss(PUBLIC["CHESTLoss"](**g)),
}
BUILD = pytest.mark.parametrize("build", (PUBLIC | OTHERS).values(), ids=PUBLIC | OTHERS)
CHANGES = pytest.mark.parametrize(
    ("changes", "here", "there"),
    [
        ({"c": 1.0}, "c=0.1", "c=1.0"),
        ({"c": 0.1000001}, "c=0.1", "c=0.1000001"),
        ({"clip_radius": 2.0}, "clip_radius=2.3", "clip_radius=2.0"),
        ({"clip": "smooth"}, "clip='hard'", "clip='smooth'"),
        (
            {"c": 2, "clip_radius": 1},
            "c=0.1, clip_radius=2.3",
            "c=2.0, clip_radius=1.0",
        ),
    ],
)


def values(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def geometry_keys(state):
    return [key for key in state if key.endswith("_extra_state")]


def test_every_public_module_is_covered():
    found = set()
    for room in (distances, losses, regularizers, pml_hyperbolic.heads):
        found |= {
            name
            for name, value in vars(room).items()
            if name in room.__all__
            and isinstance(value, type)
            and issubclass(value, torch.nn.Module)
        }
    assert found == PUBLIC.keys() | WITHOUT_GEOMETRY
    for name in WITHOUT_GEOMETRY:
        head = getattr(pml_hyperbolic.heads, name)(*[SIZE] * (2 + (name == "TwoSpaceEmbedder")))
        assert not any(hasattr(module, "c") for module in head.modules())


@BUILD
def test_every_distance_of_a_module_has_its_key(build):
    module = build()
    owners = sum(isinstance(m, PoincareDistance) for m in {*module.modules()})
    assert owners >= 1
    keys = geometry_keys(module.state_dict())
    assert len(keys) >= owners  # a shared object has a key at each of its places
    for key in keys:
        assert module.state_dict()[key].tolist() == [0.1, 2.3, 0, 0]


@BUILD
def test_states_survive_a_file_without_pickled_code(build):
    first, second = build(c=0.3, clip_radius=1.5), build(c=0.3, clip_radius=1.5)
    stream = io.BytesIO()
    torch.save(first.state_dict(), stream)
    stream.seek(0)
    result = second.load_state_dict(torch.load(stream, weights_only=True), strict=True)
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert equal(values(first), values(second))
    assert equal(values(copy.deepcopy(first)), values(first))


@BUILD
@CHANGES
@pytest.mark.parametrize("strict", [True, False])
def test_another_geometry_is_refused(build, changes, here, there, strict):
    module, other = build(), build(**changes)
    with pytest.raises(ValueError, match="state to load is of") as refusal:
        module.load_state_dict(other.state_dict(), strict=strict)
    name, _, message = str(refusal.value).partition(" ")
    assert name in ("PoincareDistance", "PoincareSimilarity")
    assert message == (
        f"has {here}, but the state to load is of {there}: build it with {there}, or remove the "
        f"keys that end in _extra_state from the state to use its weights with {here}"
    )


# MultiLevelLoss has none but PML's losses, whose proxies are loaded before their distance.
@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - {"MultiLevelLoss"}))
def test_a_refused_state_changes_nothing(name):
    module, other = PUBLIC[name](), PUBLIC[name](c=1)
    before = values(module)
    with pytest.raises(ValueError, match=r"c=1\.0"):
        module.load_state_dict(other.state_dict())
    assert equal(values(module), before)


@BUILD
def test_the_remedies_of_the_message_work(build):
    module, other = build(), build(c=1.0)
    state = other.state_dict()
    build(c=1.0).load_state_dict(state)
    for key in geometry_keys(state):
        del state[key]
    result = module.load_state_dict(state, strict=True)
    assert not result.missing_keys
    assert module.state_dict()[geometry_keys(module.state_dict())[0]][0] == 0.1
    for (name, mine), theirs in zip(module.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs), name


@pytest.mark.parametrize("changes", [{"clip_radius": None}, {"inputs": "ball"}])
def test_no_clip_radius_and_points_on_the_ball_are_geometries_of_their_own(changes):
    plain, other = PoincareDistance(), PoincareDistance(**changes)
    PoincareDistance(**changes).load_state_dict(other.state_dict())
    ((name, value),) = changes.items()
    with pytest.raises(ValueError, match=f"is of {name}={value!r}: build"):
        plain.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match=f"has {name}={value!r}, but"):
        other.load_state_dict(plain.state_dict())


def test_what_is_no_geometry_goes_through():
    # Weights mean the same whichever values a distance makes of them.
    state = PoincareSimilarity(riemannian_gradient=True, bounded=False, power=2).state_dict()
    PoincareDistance().load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_states_in_fewer_bits_are_compared_in_those(dtype):
    module = HIERLoss(SIZE, 6)
    state = {name: value.to(dtype) for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    with pytest.raises(ValueError, match=r"has c=0\.11, but the state to load is of c=0\.1: build"):
        HIERLoss(SIZE, 6, distance=PoincareDistance(c=0.11)).load_state_dict(state)


@pytest.mark.parametrize(
    "state", [None, {"c": 0.1}, torch.ones(3), torch.tensor([1, 2, 0, 0]), b"pickle" * 100]
)
def test_a_foreign_state_is_refused_in_one_line(state):
    with pytest.raises(ValueError, match="needs its geometry in the state") as refusal:
        PoincareDistance().load_state_dict({"_extra_state": state})
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_the_state_is_of_the_cpu_and_keeps_its_bits():
    module = HIERLoss(SIZE, 6, distance=PoincareDistance(c=0.1)).half()
    with torch.device("meta"):
        state = module.state_dict()["distance._extra_state"]
    assert (state.dtype, state.device.type) == (torch.float64, "cpu")
    assert state[0].item() == 0.1
    assert not list(PoincareDistance().buffers())


def test_a_compiled_distance_has_the_same_state():
    distance, x = PoincareDistance(), torch.rand(5, SIZE)
    compiled = torch.compile(distance, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), distance(x))
    state = compiled.state_dict()
    assert list(state) == ["_orig_mod._extra_state"]
    compiled.load_state_dict(state)
    with pytest.raises(ValueError, match=r"c=0\.5"):
        torch.compile(PoincareDistance(c=0.5), backend="eager").load_state_dict(state)


def test_a_distributed_loss_has_the_same_state(tmp_path):
    distributed = torch.distributed
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", world_size=1, rank=0
    )
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(HIERLoss(SIZE, 6))
        state = wrapped.state_dict()
        assert list(state) == ["module.proxies", "module.distance._extra_state"]
        wrapped.load_state_dict(state)
        other = HIERLoss(SIZE, 6, distance=PoincareDistance(c=0.5))
        with pytest.raises(ValueError, match=r"has c=0\.5, but the state to load is of c=0\.1"):
            torch.nn.parallel.DistributedDataParallel(other).load_state_dict(state)
    finally:
        distributed.destroy_process_group()
