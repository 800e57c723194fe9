import pytest

from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.config.curvature_control import with_flat_twins
from pml_hyperbolic.errors import InputError

from ..conftest import METHODS, TINY


def test_each_hyperbolic_method_gets_one_twin_after_it(load):
    config = with_flat_twins(load("curvature_control=true"))
    assert list(config.methods) == ["proxy_anchor", "hier", "hier_flat", "chest", "chest_flat"]
    hier, twin = config.methods["hier"], config.methods["hier_flat"]
    distance = twin.regularizer.use["HIERLoss"]["distance"]["PoincareDistance"]
    assert distance == {"c": 1e-4, "clip_radius": 2.3}
    assert twin.flat_twin_of == "hier"
    assert (twin.loss, twin.loss_lr, twin.head) == (hier.loss, hier.loss_lr, hier.head)
    assert twin.hash != hier.hash
    assert hier.regularizer.use["HIERLoss"]["distance"]["PoincareDistance"]["c"] == 0.1
    assert with_flat_twins(config) == config


def test_nothing_is_added_unasked(load):
    config = load()
    assert with_flat_twins(config) is config


def test_a_distance_by_default_is_refused(load):
    config = load("curvature_control=true", "methods=[chest]")
    bare = config.methods["chest"].model_copy(update={"loss": {"CHESTLoss": {}}})
    with pytest.raises(InputError, match=r"chest: curvature_control needs a stated c .* write"):
        with_flat_twins(config.model_copy(update={"methods": {"chest": bare}}))


def test_a_method_of_the_twins_name_is_refused(load):
    config = load("curvature_control=true")
    methods = {**config.methods, "hier_flat": config.methods["proxy_anchor"]}
    with pytest.raises(InputError, match="hier_flat"):
        with_flat_twins(config.model_copy(update={"methods": methods}))


def test_runs_of_twins_are_planned_and_scored(run_tiny):
    run = run_tiny("curvature_control=true", "methods=[hyp]", "protocol.seeds=[0]", "--jobs", "1")
    assert [row["method"] for row in run.rows] == ["hyp", "hyp_flat"]


@pytest.mark.parametrize("claimed", ["chest", "absent"])
def test_a_twin_must_be_one(load, claimed):
    config = load()
    false = config.methods["hier"].model_copy(update={"flat_twin_of": claimed})
    with pytest.raises(InputError, match=r"liar: flat_twin_of .* must name a method"):
        with_flat_twins(config.model_copy(update={"methods": {**config.methods, "liar": false}}))


def test_a_twin_has_the_rates_of_its_method(tmp_path, write_config):
    methods = {name: {**method, "head_lr": 1e-4} for name, method in METHODS.items()}
    methods["hier"]["head_lr"] = 2e-5
    content = {**TINY, "curvature_control": True}
    path = write_config(tmp_path, content, methods)
    config = with_flat_twins(load_benchmark(path, ["protocol.optimizer.head_lr=tuned"]))
    assert config.methods["hier_flat"].head_lr == 2e-5
    assert config.methods["chest_flat"].head_lr == 1e-4
