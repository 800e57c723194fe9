"""Bad inputs of the command line: each ends with status 2, one exact line, and nothing written.

The table is bad_inputs.json. A case names the files that it needs beside the tiny benchmark, the
arguments, and the whole line; TMP stands for the current folder.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pml_hyperbolic.benchmark.cli import main
from tests.benchmark.conftest import METHODS, TINY

CASES = json.loads(Path(__file__).with_name("bad_inputs.json").read_text(encoding="utf-8"))


def test_the_table_is_large():
    assert len(CASES) >= 120
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[ascii(case["name"])[1:-1] for case in CASES])
def test_bad_input(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    methods = {f"methods/{name}.yaml": yaml.safe_dump(said) for name, said in METHODS.items()}
    files = {"tiny.yaml": yaml.safe_dump(TINY), **methods, **case["files"]}
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    assert main(case["arguments"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.replace(str(tmp_path), "TMP") == f"{case['message']}\n"
    assert sorted(tmp_path.rglob("*")) == before


def image_folder():
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(Path("photos", name))


def features(**changes):
    content = {"features": np.ones((4, 3), np.float32), "labels": np.arange(4) // 2, **changes}
    np.savez("f.npz", **{name: value for name, value in content.items() if value is not None})


def put(name, content):
    image_folder()
    Path("photos", name).write_bytes(content)


def link(name, target):
    image_folder()
    Path("photos", name).symlink_to(target)


# What makes the files, the data of the protocol, and the line as a pattern.
FILES = {
    "no image": (
        lambda: put("a/1.png", b"text"),
        "a/1.png cannot be read as an image .it does",
    ),
    "HEIC": (lambda: put("a/1.png", b"\0\0\0\x18ftypheic"), r"\(it is a HEIC image\): convert it"),
    "EPS": (lambda: put("a/1.png", b"%!PS-Adobe"), r"\(it is a PostScript file\): convert it"),
    "HTML": (lambda: put("a/1.png", b"<html>"), r"\(it is an HTML page\): convert it to one of"),
    "empty": (lambda: put("a/1.png", b""), r"\(it is an empty file\): convert it to one of"),
    "loop": (
        lambda: link("a/x", "."),
        r"photos/a/x is a link to a folder that contains it: r",
    ),
    "device": (
        lambda: link("a/0.png", "/dev/zero"),
        r"a/0.png is a pipe, a socket or a device",
    ),
    "dangling": (lambda: link("a/0.png", "x"), r"a/0.png cannot be read \(.*No such file"),
    "depth": (
        lambda: put("0.png", b""),
        r"folders of depth 0 \(0.png\), 1 .*: expected all",
    ),
    "empty folder": (lambda: Path("photos").mkdir(), r"photos holds no images .* and nothing else"),
    "no labels": (lambda: features(labels=None), r"f.npz cannot be read \(.*labels.*expected an"),
    "flat": (lambda: features(features=np.ones(4)), r"features must be \(N, D\) of floats, got fl"),
    "integers": (lambda: features(features=np.ones((4, 3), int)), r"of floats, got int64 of shape"),
    "NaN": (lambda: features(features=np.full((4, 3), np.nan)), r"4 samples are not finite in"),
    "short": (lambda: features(labels=np.arange(3)), r"for N = 4 features, got int64 of shape"),
    "fractions": (lambda: features(labels=np.ones(4) / 2), r"labels must be integers or names of"),
    "objects": (lambda: features(labels=np.array([{}] * 4)), r"f.npz cannot be read \(.*expected"),
    "JPEG": (lambda: Path("f.npz").write_bytes(b"\xff\xd8\xff"), r"\(it is a JPEG image\): expec"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(name, tmp_path, monkeypatch, capsys):
    make, pattern = FILES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    Path("methods").mkdir()
    for method, said in METHODS.items():
        Path("methods", f"{method}.yaml").write_text(yaml.safe_dump(said))
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))
    make()
    before = sorted(tmp_path.rglob("*")) if name != "loop" else []
    kind = (
        "{features: {root: f.npz}}" if Path("f.npz").exists() else "{image_folder: {root: photos}}"
    )
    words = ["run", "tiny.yaml", f"protocol.data={kind}", "--output", "runs"]
    words += ["protocol.augmentation={}", "protocol.backbone=identity"]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert re.search(pattern, captured.err), captured.err
    assert not Path("runs").exists()
    if before:
        assert sorted(tmp_path.rglob("*")) == before
