"""Configs are found as files and by the names of the shipped ones."""

import errno
import os
from pathlib import Path

import pytest
import yaml

from pml_hyperbolic.benchmark.config import benchmark_files, folders, load_benchmark
from pml_hyperbolic.benchmark.config.folders import find_config, shipped_folder
from pml_hyperbolic.errors import InputError

from ..conftest import PROTOCOL

CONFIGS = Path(__file__).parents[3] / "benchmark_configs"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package that ships two benchmarks, its folder; the current folder is an empty one."""
    for name in ("digits", "paper/hyp_cub", "methods/chest", "tuned/digits/chest"):
        file = tmp_path / "shipped" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    monkeypatch.setattr(folders, "_INSTALLED", tmp_path / "shipped")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "shipped"


def test_the_shipped_folder_is_that_of_the_checkout_or_of_the_installation(shipped, monkeypatch):
    assert shipped_folder() == shipped
    monkeypatch.setattr(folders, "_INSTALLED", shipped / "nowhere")
    assert shipped_folder() == CONFIGS
    monkeypatch.setattr(folders, "_CHECKED_OUT", shipped / "nowhere")
    with pytest.raises(InputError, match=r"the shipped configs are missing, .*force-reinstall"):
        shipped_folder()


def test_benchmarks_have_the_names_that_run_takes(shipped):
    assert list(benchmark_files(shipped)) == ["digits", "paper/hyp_cub"]
    assert [find_config(name) for name in benchmark_files(shipped)] == [
        *benchmark_files(shipped).values()
    ]


def test_names_within_the_shipped_folder(shipped):
    assert find_config("methods/chest") == shipped / "methods/chest.yaml"
    assert find_config("digits", shipped) == shipped / "digits.yaml"


def test_a_file_comes_before_a_shipped_config(shipped):
    Path("digits").write_text("")
    assert find_config("digits") == Path("digits")


def test_a_folder_of_that_name_is_no_config(shipped):
    Path("digits").mkdir()
    assert find_config("digits") == shipped / "digits.yaml"
    Path("birds").mkdir()
    with pytest.raises(InputError, match="cannot read birds: it is a folder: give a YAML file"):
        find_config("birds")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "xyz",
            "cannot read xyz: No such file .*: give a YAML file, or a name that `pml-hyperbolic l",
        ),
        ("digit", "did you mean 'digits'?"),
        ("hyp_cub", "did you mean 'paper/hyp_cub'?"),
        ("digits.yaml", "No such file or directory: the shipped config is called 'digits'$"),
        ("benchmark_configs/paper/hyp_cub.yaml", "shipped config is called 'paper/hyp_cub'$"),
        ("other.yaml", "other.yaml: No such file or directory: give a YAML file.* such as digits$"),
        ("../shipped/digits", "cannot read ../shipped/digits: No such file"),
        ("a\0b", "cannot read a\0b: .*null"),
    ],
)
def test_what_is_neither(shipped, given, message):
    with pytest.raises(InputError, match=message):
        find_config(given)


def test_a_disk_that_fails_to_look_a_config_up(shipped, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    # Not even a shipped one of that name is taken in its place.
    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(OSError, match="Input/output error: 'digits'"):
        find_config("digits")


def test_a_config_anywhere_extends_a_shipped_one_by_its_name(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("{name: own, extends: digits, protocol: {epochs: 3}}")
    config, shipped = load_benchmark(own), load_benchmark("digits")
    assert config.methods == shipped.methods
    assert config.protocol == shipped.protocol.model_copy(update={"epochs": 3})
    own.write_text("{name: own, extends: digit}")
    with pytest.raises(InputError, match=r"own.yaml: extends: cannot read .* mean 'digits'?"):
        load_benchmark(own)


def test_shipped_methods_need_not_be_copied(tmp_path):
    own = tmp_path / "own.yaml"
    content = {"name": "own", "protocol": PROTOCOL, "methods": ["chest", "mine"]}
    own.write_text(yaml.safe_dump(content))
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/mine.yaml").write_text("{extends: methods/chest, loss_lr: 7}")
    config = load_benchmark(own)
    assert config.methods["mine"].loss_lr == 7
    assert config.methods["mine"].loss == config.methods["chest"].loss
    (tmp_path / "methods/chest.yaml").write_text("{extends: methods/chest, loss_lr: 8}")
    assert load_benchmark(own).methods["chest"].loss_lr == 8
