"""Files that are damaged, foreign or hostile: each is refused in one exact line, and stays alone.

A case makes its files in the current folder, runs a command, and gives the line after the name of
the program. TMP stands for the current folder, <...> for what a library says.
"""

import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.checked_files import file_checksum
from pml_hyperbolic.embedder import Embedder, ImageIndex
from pml_hyperbolic.files import content_checksum
from tests.benchmark.conftest import METHODS, TINY

JPEG = b"\xff\xd8\xff\xe0" + bytes(40)


class Danger:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def png(size=8):
    file = io.BytesIO()
    Image.new("RGB", (size, size)).save(file, "png")
    return file.getvalue()


# Archives of images.


def zipped(names, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return file.getvalue()


def patched(content, *changes):
    """Content with bytes at some places, counted from the start of a signature, replaced."""
    content = bytearray(content)
    for signature, offset, value in changes:
        start = content.index(signature) + offset
        content[start : start + len(value)] = value
    return bytes(content)


def tarred(*members, compress=bytes):
    """A tar of (name, content) files, or of members as they are."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return compress(file.getvalue())


def member(name, kind, target="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


IMAGES = {f"{label}/{number}.png": png() for label in "abcdefgh" for number in range(4)}
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def archive(name, content):
    """A command that trains on an archive."""

    def make():
        Path(name).write_bytes(content)
        return ["run", "tiny.yaml", f"protocol.data={{image_folder: {{root: {name}}}}}"]

    return make


_NO_ARCHIVE = (
    "is neither a folder nor an intact archive (.zip, .tar, .tgz, .tar.gz, .tar.bz2, .tar.xz)"
)
_FIRST = "image_folder: image 0 cannot be decoded: "
_OUTSIDE = (
    "which is a link, a device or outside its folder: nothing was unpacked; download the official "
    "archive"
)
_UNPACKED = "download it again if it is damaged, or name a folder with room for it as unpacked"
HUGE = member("a/1.png", tarfile.REGTYPE, size=2**31)
ARCHIVES = {
    "text as a zip": (
        archive("p.zip", b"no archive"),
        f"TMP/p.zip {_NO_ARCHIVE}: download it again",
    ),
    "nothing as a zip": (archive("p.zip", b""), f"TMP/p.zip {_NO_ARCHIVE}: download it again"),
    "RAR as a zip": (
        archive("p.zip", b"Rar!\x1a\x07\x01\x00" + bytes(40)),
        f"TMP/p.zip {_NO_ARCHIVE}: download it again",
    ),
    "a cut zip": (
        archive("p.zip", zipped(IMAGES)[:-40]),
        f"TMP/p.zip {_NO_ARCHIVE}: download it again",
    ),
    "no archive at all": (
        archive("p.7z", b"7z\xbc\xaf'\x1c"),
        f"TMP/p.7z {_NO_ARCHIVE}: download it again",
    ),
    "a zip without images": (
        archive("p.zip", zipped({"a/notes.txt": b""})),
        "TMP/p.zip holds no images (<...>), but 1 file: 1 .txt (such as a/notes.txt): give images "
        "of one of these formats, or convert others to one; expected <...>",
    ),
    "an empty zip": (
        archive("p.zip", zipped({})),
        "TMP/p.zip holds no images (<...>), and nothing else: give images of one of these formats, "
        "or convert others to one; expected <...>",
    ),
    "an encrypted zip": (
        archive("p.zip", patched(zipped(IMAGES), (LOCAL, 6, b"\1"), (CENTRAL, 8, b"\1"))),
        f"{_FIRST}TMP/p.zip/a/0.png cannot be read (<...>encrypted<...>): download TMP/p.zip again",
    ),
    "a zip of an unknown compression": (
        archive("p.zip", patched(zipped(IMAGES), (LOCAL, 8, b"\x63"), (CENTRAL, 10, b"\x63"))),
        f"{_FIRST}TMP/p.zip/a/0.png cannot be read (<...>compression<...>): download TMP/p.zip "
        "again",
    ),
    "a zip with a wrong checksum": (
        archive("p.zip", patched(zipped(IMAGES), (CENTRAL, 16, b"abcd"))),
        f"{_FIRST}TMP/p.zip/a/0.png cannot be read (<...>CRC<...>): download TMP/p.zip again",
    ),
    "a zip of a huge image": (
        archive("p.zip", patched(zipped(IMAGES), (CENTRAL, 24, (2**30).to_bytes(4, "little")))),
        f"{_FIRST}TMP/p.zip/a/0.png has 1,073,741,824 bytes, and an image of 50 megapixels, the "
        "limit, has at most 401,048,576: replace it, or raise the limit in the environment "
        "variable PML_HYPERBOLIC_MAX_MEGAPIXELS",
    ),
    "text as a tar": (
        archive("p.tar", b"no archive"),
        f"TMP/p.tar cannot be unpacked into TMP/p.unpacked (<...>): {_UNPACKED}",
    ),
    "nothing as a tar": (
        archive("p.tar", b""),
        f"TMP/p.tar cannot be unpacked into TMP/p.unpacked (<...>): {_UNPACKED}",
    ),
    "a cut tar": (
        archive("p.tar", tarred(*IMAGES.items())[:700]),
        f"TMP/p.tar cannot be unpacked into TMP/p.unpacked (<...>): {_UNPACKED}",
    ),
    "a cut tgz": (
        archive("p.tgz", tarred(*IMAGES.items(), compress=gzip.compress)[:-60]),
        f"TMP/p.tgz cannot be unpacked into TMP/p.unpacked (<...>): {_UNPACKED}",
    ),
    "a damaged bz2": (
        archive("p.tar.bz2", tarred(*IMAGES.items(), compress=bz2.compress)[:-60]),
        f"TMP/p.tar.bz2 cannot be unpacked into TMP/p.unpacked (<...>): {_UNPACKED}",
    ),
    "a damaged xz": (
        archive("p.tar.xz", tarred(*IMAGES.items(), compress=lzma.compress)[:-60]),
        f"TMP/p.tar.xz cannot be unpacked into TMP/p.unpacked (<...>): {_UNPACKED}",
    ),
    "gzip of something else": (
        archive("p.tgz", gzip.compress(b"no tar")),
        f"TMP/p.tgz cannot be unpacked into TMP/p.unpacked (<...>): {_UNPACKED}",
    ),
    "a tar that climbs": (
        archive("p.tar", tarred(("../x.png", png()))),
        f"TMP/p.tar has the member '../x.png', {_OUTSIDE}",
    ),
    "a tar of an absolute path": (
        archive("p.tar", tarred(("/x.png", png()))),
        f"TMP/p.tar has the member '/x.png', {_OUTSIDE}",
    ),
    "a tar with a link": (
        archive("p.tar", tarred(member("a", tarfile.SYMTYPE, "/etc"))),
        f"TMP/p.tar has the member 'a', {_OUTSIDE}",
    ),
    "a tar with a hard link": (
        archive("p.tar", tarred(member("a", tarfile.LNKTYPE, "/etc/passwd"))),
        f"TMP/p.tar has the member 'a', {_OUTSIDE}",
    ),
    "a tar with a device": (
        archive("p.tar", tarred(member("a", tarfile.CHRTYPE))),
        f"TMP/p.tar has the member 'a', {_OUTSIDE}",
    ),
    "a tar of a huge file": (
        archive("p.tar", HUGE.tobuf() + bytes(1024)),
        "TMP/p.tar would unpack to more than 1,073,741,824 bytes, which is out of proportion to "
        "its own size: nothing was unpacked; download the official archive, or unpack it yourself "
        "and give the folder",
    ),
    "a tar with a huge header": (
        archive("p.tar", member("a", tarfile.XHDTYPE, size=2**30).tobuf() + bytes(1024)),
        "the tar has a header of 1,073,741,824 bytes, expected at most 1,048,576: nothing was "
        "unpacked; download the official archive",
    ),
    "an archive that is not there": (
        lambda: ["run", "tiny.yaml", "protocol.data={image_folder: {root: p.zip}}"],
        "TMP/p.zip: there is no such folder or archive; expected class/*.jpg or "
        "superclass/class/*.jpg (in a folder, a zip or a tar), from your own images",
    ),
}

# Files of weights for a backbone of timm.

MODEL = "test_resnet.r160_in1k"


def weights(name, write):
    """A command that trains a backbone from a file of weights."""

    def make():
        write(Path(name))
        backbone = f"{{timm: {{model: {MODEL}, pretrained: true, weights: {name}}}}}"
        return ["run", "tiny.yaml", f"protocol.backbone={backbone}"]

    return make


def bombed(path):
    """A file of torch, a few kB of which unpack to 2 GiB."""
    torch.save({"w": torch.zeros(1).expand(2**15, 2**14)}, path)


def refused_weights(reason):
    return (
        f"protocol.backbone: timm: w.pth does not contain weights of {MODEL} ({reason}): download "
        f"model.safetensors of https://huggingface.co/timm/{MODEL}"
    )


_CODE = "it holds Python objects other than tensors, which could run code, or is damaged"
WEIGHTS = {
    "a JPEG as weights": (
        weights("w.pth", lambda path: path.write_bytes(JPEG)),
        refused_weights("it is a JPEG image"),
    ),
    "nothing as weights": (
        weights("w.pth", lambda path: path.write_bytes(b"")),
        refused_weights("it is an empty file"),
    ),
    "a page as weights": (
        weights("w.pth", lambda path: path.write_bytes(b"<!DOCTYPE html><p>404")),
        refused_weights("it is an HTML page"),
    ),
    "a pointer as weights": (
        weights("w.pth", lambda path: path.write_bytes(b"version https://git-lfs.github.com")),
        refused_weights("it is a pointer of Git LFS, not the file itself"),
    ),
    "code as weights": (
        weights("w.pth", lambda path: torch.save({"w": Danger()}, path)),
        refused_weights(_CODE),
    ),
    "a pickle as weights": (
        weights("w.pth", lambda path: path.write_bytes(pickle.dumps(Danger()))),
        refused_weights(_CODE),
    ),
    "weights that are a bomb": (
        weights("w.pth", bombed),
        refused_weights(
            "it would unpack to 2,147,483,648 bytes, out of proportion to its own <...>"
        ),
    ),
    "weights that are not there": (
        weights("w.pth", lambda path: None),
        "protocol.backbone: timm: there is no weights file w.pth: download model.safetensors of "
        f"https://huggingface.co/timm/{MODEL} and give its path",
    ),
}

# Files of features.


def features(write, name="f.npz"):
    """A command that trains on a file of features."""

    def make():
        write(Path(name))
        return ["run", "tiny.yaml", f"protocol.data={{features: {{root: {name}}}}}"]

    return make


ROWS = np.ones((4, 3), np.float32)
_FEATURES = (
    "expected an .npz or .pt file with features (N, D) of floats and labels (N,) or (N, L), as "
    "numpy.savez('NAME.npz', features=..., labels=...) writes it"
)
FEATURES = {
    "an array as features": (
        features(lambda path: path.write_bytes(npy(ROWS))),
        f"TMP/f.npz cannot be read (it is a NumPy array (.npy)): {_FEATURES}",
    ),
    "features that are a bomb": (
        features(lambda path: np_bomb(path, "features", labels=np.arange(4))),
        "TMP/f.npz cannot be read (it would unpack to 1,<...> bytes, out of proportion to its own "
        f"<...>; write it without compression if it is yours): {_FEATURES}",
    ),
    "tensors that are a bomb": (
        features(bombed, "f.pt"),
        "TMP/f.pt cannot be read (it would unpack to 2,147,483,648 bytes, out of proportion to its "
        f"own <...>; write it without compression if it is yours): {_FEATURES}",
    ),
    "features as code": (
        features(lambda path: torch.save({"features": Danger()}, path), "f.pt"),
        f"TMP/f.pt cannot be read ({_CODE}): {_FEATURES}",
    ),
    "cut features": (
        features(lambda path: path.write_bytes(saved(np.savez, features=ROWS)[:300])),
        f"TMP/f.npz cannot be read (<...>): {_FEATURES}",
    ),
}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def saved(save, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def np_bomb(path, name, **others):
    """An .npz that says of its first array that 1.2 GB of it were compressed."""
    content = saved(np.savez_compressed, **{name: ROWS}, **others)
    path.write_bytes(patched(content, (CENTRAL, 24, (12 * 10**8).to_bytes(4, "little"))))


# Files of embeddings for `plot`.


def plot(name, write, *options):
    def make():
        write(Path(name))
        return ["plot", "disk", name, "--output", "x.png", *options]

    return make


def arrays(**content):
    """A function that writes such embeddings into an .npz or a .pt."""

    def write(path):
        if path.suffix == ".npz":
            np.savez(path, **content)
        else:
            values = {
                k: torch.from_numpy(v) if v.dtype.kind in "fiu" else v.tolist()
                for k, v in content.items()
            }
            torch.save(values, path)

    return write


_EMBEDDINGS = (
    "expected embeddings (N, D) of floats, as numpy.savez('NAME.npz', embeddings=..., labels=...) "
    "or torch.save({'embeddings': ..., 'labels': ...}, 'NAME.pt') writes them"
)
_NPZ = "e.npz cannot be read as .npz of plain arrays"
_PT = "e.pt cannot be read as .pt of plain tensors"
PLOTS = {
    "text as .npz": (
        plot("e.npz", lambda path: path.write_text("1 2 3")),
        f"{_NPZ} (<...>): {_EMBEDDINGS}",
    ),
    "a JPEG as .npz": (
        plot("e.npz", lambda path: path.write_bytes(JPEG)),
        f"{_NPZ} (it is a JPEG image): {_EMBEDDINGS}",
    ),
    "an array as .npz": (
        plot("e.npz", lambda path: path.write_bytes(npy(ROWS))),
        f"{_NPZ} (it is a NumPy array (.npy)): {_EMBEDDINGS}",
    ),
    "nothing as .npz": (
        plot("e.npz", lambda path: path.write_bytes(b"")),
        f"{_NPZ} (it is an empty file): {_EMBEDDINGS}",
    ),
    "a cut .npz": (
        plot("e.npz", lambda path: path.write_bytes(saved(np.savez, embeddings=ROWS)[:200])),
        f"{_NPZ} (<...>): {_EMBEDDINGS}",
    ),
    "objects as .npz": (
        plot("e.npz", arrays(embeddings=np.array([Danger()]))),
        f"{_NPZ} (<...>): {_EMBEDDINGS}",
    ),
    "a bomb as .npz": (
        plot("e.npz", lambda path: np_bomb(path, "embeddings")),
        f"{_NPZ} (it would unpack to 1,<...> bytes, out of proportion to its own <...>; write it "
        f"without compression if it is yours): {_EMBEDDINGS}",
    ),
    "nothing as .pt": (
        plot("e.pt", lambda path: path.write_bytes(b"")),
        f"{_PT} (it is an empty file): {_EMBEDDINGS}",
    ),
    "code as .pt": (
        plot("e.pt", lambda path: torch.save({"embeddings": Danger()}, path)),
        f"{_PT} ({_CODE}): {_EMBEDDINGS}",
    ),
    "a bomb as .pt": (
        plot("e.pt", bombed),
        f"{_PT} (it would unpack to 2,147,483,648 bytes, out of proportion to its own <...>; write "
        f"it without compression if it is yours): {_EMBEDDINGS}",
    ),
    "a tensor as .pt": (
        plot("e.pt", lambda path: torch.save(torch.ones(2, 2), path)),
        f"e.pt holds a Tensor: {_EMBEDDINGS}, or a pair (embeddings, labels)",
    ),
    "other arrays": (
        plot("e.npz", arrays(features=ROWS)),
        f"e.npz has no array named 'embeddings' (it holds features): {_EMBEDDINGS}",
    ),
    "one vector": (
        plot("e.npz", arrays(embeddings=ROWS[0])),
        "e.npz: embeddings must have shape (N, D) with N, D >= 1, got (3,): give one row for each "
        "sample",
    ),
    "no rows": (
        plot("e.npz", arrays(embeddings=ROWS[:0])),
        "e.npz: embeddings must have shape (N, D) with N, D >= 1, got (0, 3): give one row for "
        "each sample",
    ),
    "NaN": (
        plot("e.npz", arrays(embeddings=ROWS * np.nan)),
        "e.npz: 4 of the 4 embeddings contain NaN or infinite values: leave these rows out, or "
        "look for a run that diverged",
    ),
    "texts": (
        plot("e.npz", arrays(embeddings=np.array([["a"]]))),
        "e.npz: embeddings must be an array of numbers, got <U1 array: save the file again",
    ),
    "too few labels": (
        plot("e.pt", arrays(embeddings=ROWS, labels=np.arange(3))),
        "e.pt: labels must have shape (4,), one for each embedding, got (3,): save both from the "
        "same samples",
    ),
    "labels that are no integers": (
        plot("e.npz", arrays(embeddings=ROWS, labels=np.ones(4))),
        "e.npz: labels must be integers, got float64: number the classes, and save their names as "
        "class_names",
    ),
    "labels without a name": (
        plot("e.npz", arrays(embeddings=ROWS, labels=np.arange(4), class_names=np.array(["a"]))),
        "e.npz: labels from 0 to 3 for 1 class names, expected 0 to 0: save one name for each "
        "label, or leave class_names out",
    ),
    "numbers as names": (
        plot("e.npz", arrays(embeddings=ROWS, class_names=np.arange(4))),
        "e.npz: class_names must be a list of texts, got int64 array: save them as text, or leave "
        "class_names out",
    ),
    "a single path": (
        plot("e.npz", arrays(embeddings=ROWS, paths=np.array(["a.png"]))),
        "e.npz: 1 paths for 4 embeddings: save one path for each, or leave paths out",
    ),
    "proxies of another dimension": (
        plot("e.npz", arrays(embeddings=ROWS, proxies=ROWS[:, :2])),
        "e.npz: proxies must have 3 columns like the embeddings, got 2: take both from one model",
    ),
    "a negative curvature": (
        plot("e.npz", arrays(embeddings=ROWS, c=np.array(-1.0))),
        "e.npz: curvature c must be a finite number > 0, got -1.0: save the file with another "
        "geometry",
    ),
    "two curvatures": (
        plot("e.npz", arrays(embeddings=ROWS, c=np.ones(2))),
        "e.npz: c must be one value, got shape (2,): save it as one number or word",
    ),
    "points outside the ball": (
        plot("e.npz", arrays(embeddings=9 * ROWS, c=np.array(1.0), inputs=np.array("ball"))),
        'e.npz: embeddings: inputs="ball" needs points of norm below 1/sqrt(c) = 1, got a norm of '
        '15.5885: use inputs="tangent" for plain network outputs',
    ),
    "embeddings that are not there": (
        plot("e.npz", lambda path: None),
        "there is no folder or file e.npz: give the folder of a benchmark that `pml-hyperbolic "
        "run` made, or a file of embeddings",
    ),
}


# Trained models, and indexes that they made. The files lie in run/, saved/ and i.index.


class Place(NamedTuple):
    """A finished run of precomputed features, a saved model of it, and an index that it made."""

    run: Path
    saved: Path
    index: Path


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((64, 6)).astype(np.float32)
    np.savez(folder / "f.npz", features=rows, labels=np.arange(64) % 8)
    (folder / "methods").mkdir()
    (folder / "methods" / "hyp.yaml").write_text(yaml.safe_dump(METHODS["hyp"]))
    changes = {"epochs": 1, "steps_per_epoch": 1, "augmentation": {}, "backbone": "identity"}
    data = {"data": {"features": {"root": str(folder / "f.npz")}}, "seeds": [0]}
    protocol = {**TINY["protocol"], **changes, **data}
    benchmark = {**TINY, "protocol": protocol, "methods": ["hyp"]}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(benchmark))
    words = ["run", str(folder / "tiny.yaml"), "--output", str(folder / "runs"), "--no-page"]
    assert main([*words, "--jobs", "1"]) == 0
    run = folder / "runs" / "tiny" / "hyp" / "fold0_seed0"
    model = Embedder.load(run, device="cpu")
    model.save_pretrained(folder / "saved")
    ImageIndex.build(model, rows, model=str(folder / "saved")).save(folder / "i.index")
    return Place(run, folder / "saved", folder / "i.index")


def model(change, folder="run"):
    """A command that embeds features with a model after a change to its folder."""

    def make():
        np.savez("f.npz", features=np.ones((2, 6), np.float32))
        change(Path(folder))
        return ["embed", folder, "f.npz", "--output", "e.npz"]

    return make


def rewritten(name, change):
    """A change to a JSON or YAML file of a run, without its checksum."""

    def write(folder):
        file = folder / name
        content = change(yaml.safe_load(file.read_text()))
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, dict):
                part.pop("checksum", None)
        dump = yaml.safe_dump if file.suffix == ".yaml" else json.dumps
        file.write_text(dump(content))

    return write


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def removed(name):
    return lambda folder: (folder / name).unlink()


def changed(**values):
    return lambda content: {**content, **values}


def checkpoint(change):
    """A change to the checkpoint of a run, without its checksum."""

    def write(folder):
        content = torch.load(folder / "checkpoint.pt", weights_only=True)
        torch.save(change(content), folder / "checkpoint.pt")

    return write


_UNFINISHED = (
    "so it is not that of a finished run: finish it with `pml-hyperbolic run`, or give "
    "runs/<benchmark>/<method>/fold<i>_seed<j>"
)
_AGAIN = "run the benchmark again"
RUNS = {
    "no folder": (
        model(shutil.rmtree),
        "run is missing: give the folder of a saved model, or owner/model",
    ),
    "no checkpoint": (model(removed("checkpoint.pt")), f"run lacks checkpoint.pt, {_UNFINISHED}"),
    "no config": (model(removed("config.yaml")), f"run lacks config.yaml, {_UNFINISHED}"),
    "an empty config": (
        model(put("config.yaml", b"")),
        f"run/config.yaml is not the config of a run, it lacks protocol or method: {_AGAIN}",
    ),
    "a config that is no YAML": (
        model(put("config.yaml", b"[1")),
        f"run/config.yaml cannot be read (<...>): {_AGAIN}",
    ),
    "a config that is a list": (
        model(put("config.yaml", b"[1]")),
        f"run/config.yaml is not the config of a run, it lacks protocol or method: {_AGAIN}",
    ),
    "a config of bytes": (
        model(put("config.yaml", b"\xff\xfe")),
        f"run/config.yaml cannot be read (<...>): {_AGAIN}",
    ),
    "a config nested without end": (
        model(put("config.yaml", b"[" * 100_000)),
        f"run/config.yaml cannot be read (<...>): {_AGAIN}",
    ),
    "a config without a backbone": (
        model(rewritten("config.yaml", changed(protocol={}))),
        f"run/config.yaml is not the config of a run (<...>): {_AGAIN}",
    ),
    "a config of another run": (
        model(rewritten("config.yaml", changed(seed=7))),
        f"run/config.yaml and run/result.json are of different runs, seed is 7 and 0: {_AGAIN}",
    ),
    "an unknown backbone": (
        model(
            rewritten(
                "config.yaml",
                lambda c: {**c, "protocol": {**c["protocol"], "backbone": {"os.system": {}}}},
            )
        ),
        "run: no backbone 'os.system': known: identity, <...>",
    ),
    "an empty result": (
        model(put("result.json", b"")),
        f"run/result.json cannot be read (<...>): {_AGAIN}",
    ),
    "a result of no rows": (
        model(put("result.json", b"[]")),
        f"run/result.json is not a result of `pml-hyperbolic run`: {_AGAIN}",
    ),
    "a result of other rows": (
        model(put("result.json", b'[{"a": 1}]')),
        f"run/result.json is not a result of `pml-hyperbolic run`: {_AGAIN}",
    ),
    "a result nested without end": (
        model(put("result.json", b"[" * 100_000)),
        f"run/result.json cannot be read (<...>): {_AGAIN}",
    ),
    "an image as checkpoint": (
        model(put("checkpoint.pt", JPEG)),
        f"run/checkpoint.pt is not the checkpoint of a run or is damaged (it is a JPEG image): "
        f"{_AGAIN}",
    ),
    "code as checkpoint": (
        model(checkpoint(lambda content: {**content, "epoch": Danger()})),
        f"run/checkpoint.pt is not the checkpoint of a run or is damaged ({_CODE}): {_AGAIN}",
    ),
    "a checkpoint that is a bomb": (
        model(checkpoint(lambda content: {**content, "w": torch.zeros(1).expand(2**15, 2**14)})),
        "run/checkpoint.pt is not the checkpoint of a run or is damaged (it would unpack to <...> "
        f"bytes, out of proportion to its own <...>): {_AGAIN}",
    ),
    "a checkpoint of another epoch": (
        model(checkpoint(lambda content: {**content, "epoch": 5})),
        "run/checkpoint.pt is of another run, its epoch is 5 and result.json selected epoch 1: "
        f"{_AGAIN}",
    ),
    "a checkpoint of numbers": (
        model(checkpoint(lambda c: {**c, "models": {"trunk": {}, "embedder": {"a": 1}}})),
        "run/checkpoint.pt is not the checkpoint of a run or is damaged (its models are not "
        f"tensors): {_AGAIN}",
    ),
    "a checkpoint of another network": (
        model(
            checkpoint(lambda c: {**c, "models": {"trunk": {}, "embedder": {"a": torch.ones(2)}}})
        ),
        f"run: checkpoint.pt holds no weights of a head: {_AGAIN}",
    ),
}


def resigned(change, tensors=None):
    """A change to a saved model with the checksums of a stranger who has made it."""

    def write(folder):
        config, file = folder / "config.json", folder / "model.safetensors"
        content = change(json.loads(config.read_text()))
        if tensors is not None:
            save_file(tensors(load_file(file)), file)
        content.pop("sha256", None)
        content["sha256"] = {
            "model.safetensors": file_checksum(file),
            "config.json": content_checksum(content),
        }
        config.write_text(json.dumps(content))

    return write


def same(content):
    return content


def architecture(**values):
    return lambda c: {**c, "architecture": {**c["architecture"], **values}}


_SAVE = "get it again or save the model again"
SAVED = {
    "no weights": (
        model(removed("model.safetensors"), "saved"),
        "saved lacks model.safetensors: it is not a whole saved model, get it again",
    ),
    "a config that is no JSON": (
        model(put("config.json", b"{"), "saved"),
        f"saved/config.json cannot be read as JSON (<...>): {_SAVE}",
    ),
    "JSON nested without end": (
        model(put("config.json", b"[" * 100_000), "saved"),
        f"saved/config.json cannot be read as JSON (<...>): {_SAVE}",
    ),
    "a config of something else": (
        model(put("config.json", b'{"model_type": "bert"}'), "saved"),
        "saved/config.json does not describe a model of pml_hyperbolic, expected the format "
        "pml_hyperbolic.Embedder: give the folder of a saved model",
    ),
    "a config of the future": (
        model(resigned(changed(version=9)), "saved"),
        "saved/config.json has version 9, this version of pml_hyperbolic reads 1: update "
        "pml_hyperbolic",
    ),
    "no checksums": (
        model(
            rewritten("config.json", lambda c: {k: v for k, v in c.items() if k != "sha256"}),
            "saved",
        ),
        f"saved/config.json lacks its checksums (sha256): {_SAVE}",
    ),
    "an edited config": (
        model(rewritten("config.json", changed(batch_size=3)), "saved"),
        f"saved/config.json does not have its own checksum: it is damaged or was edited, {_SAVE}",
    ),
    "damaged weights": (
        model(put("model.safetensors", b"x"), "saved"),
        "saved/model.safetensors does not have the checksum that config.json records: it is "
        "damaged or of another model, get it again",
    ),
    "weights that are no weights": (
        model(lambda f: (put("model.safetensors", b"x")(f), resigned(same)(f)), "saved"),
        f"saved/model.safetensors cannot be read as safetensors (<...>): {_SAVE}",
    ),
    "weights of another network": (
        model(resigned(same, lambda _: {"a": torch.ones(2)}), "saved"),
        "saved: the weights do not fit the architecture, they are of another model or another "
        "version of it (<...>): get it again, or save the model again",
    ),
    "no batches": (
        model(resigned(changed(batch_size=0)), "saved"),
        f"saved/config.json: batch_size must be at least 1, got 0: {_SAVE}",
    ),
    "a backbone that is code": (
        model(resigned(architecture(backbone={"os.system": {"command": "id"}})), "saved"),
        "saved: no backbone 'os.system': known: identity, <...>",
    ),
    "a negative dimension": (
        model(resigned(architecture(spaces={"hyperbolic": -8})), "saved"),
        f"saved/config.json: the hyperbolic space needs a dimension of at least 1, got -8: {_SAVE}",
    ),
    "a huge dimension": (
        model(resigned(architecture(spaces={"hyperbolic": 10**12})), "saved"),
        "saved: the weights do not fit the architecture, they are of another model or another "
        "version of it (the hyperbolic space has dimension 1000000000000, but head.1.weight is "
        "(8, 6)): get it again, or save the model again",
    ),
    "an unknown geometry": (
        model(resigned(changed(geometry={"Sphere": {}})), "saved"),
        "saved/config.json: a geometry is {PoincareDistance: {...}} or {PoincareSimilarity: {...}}"
        f", got {{'Sphere': {{}}}}: {_SAVE}",
    ),
    "unknown preprocessing": (
        model(resigned(changed(preprocessing={"x": 1})), "saved"),
        f"saved/config.json: preprocessing: <...>: {_SAVE}",
    ),
}


def index(change):
    """A command that searches an index after a change to it."""

    def make():
        np.savez("f.npz", features=np.ones((2, 6), np.float32))
        change(Path("i.index"))
        return ["find", "i.index", "f.npz"]

    return make


def header(**changes):
    """A change to the header of an index."""

    def write(path):
        tensors = load_file(path)
        start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
        said = json.loads(path.read_bytes()[8:start])["__metadata__"]["pml_hyperbolic.ImageIndex"]
        said = json.dumps({**json.loads(said), **changes})
        save_file(tensors, path, metadata={"pml_hyperbolic.ImageIndex": said})

    return write


_INDEX = "make the index again"
INDEXES = {
    "text as an index": (
        index(lambda path: path.write_text("x")),
        f"i.index is not an index of images or is damaged (<...>): {_INDEX}",
    ),
    "nothing as an index": (
        index(lambda path: path.write_bytes(b"")),
        f"i.index is not an index of images or is damaged (<...>): {_INDEX}",
    ),
    "an image as an index": (
        index(lambda path: path.write_bytes(JPEG)),
        f"i.index is not an index of images or is damaged (<...>): {_INDEX}",
    ),
    "a cut index": (
        index(lambda path: path.write_bytes(path.read_bytes()[:-9])),
        f"i.index is not an index of images or is damaged (<...>): {_INDEX}",
    ),
    "weights as an index": (
        index(lambda path: save_file({"a": torch.ones(1)}, path)),
        "i.index is not an index of images: make one with `pml-hyperbolic index`",
    ),
    "an index of the future": (
        index(header(version=9)),
        f"i.index has version 9, this version of pml_hyperbolic reads 1: {_INDEX}",
    ),
    "an index of another checksum": (
        index(header(sha256="0")),
        f"i.index does not have the checksum it records: {_INDEX}",
    ),
    "an index of another model": (
        index(lambda path: shutil.copy("other.index", path)),
        "the index was made with another model (<...>): search it with that one, or make the index "
        "again",
    ),
    "an index whose model is gone": (
        index(lambda path: shutil.copy("gone.index", path)),
        "TMP/gone is missing: give the folder of a saved model, or owner/model",
    ),
}

CASES = {
    f"{group}: {name}": case
    for group, cases in {
        "archive": ARCHIVES,
        "weights": WEIGHTS,
        "features": FEATURES,
        "plot": PLOTS,
        "run": RUNS,
        "saved model": SAVED,
        "index": INDEXES,
    }.items()
    for name, case in cases.items()
}


def test_the_table_is_large():
    assert len(CASES) >= 100


def as_pattern(line):
    parts = re.split(r"<\.\.\.>", line)
    return re.compile(".*".join(map(re.escape, parts)))


def contents(folder):
    """Every file below a folder with its content, and every folder."""
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("name", CASES)
def test_bad_file(name, place, tmp_path, monkeypatch, capsys):
    make, message = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    if name.startswith(("run", "saved model", "index")):
        shutil.copytree(place.run, "run")
        shutil.copytree(place.saved, "saved")
        shutil.copy(place.index, "i.index")
        foreign = ImageIndex.load("i.index")
        for other, changes in (
            ("other", {"fingerprint": "x"}),
            ("gone", {"model": f"{tmp_path}/gone"}),
        ):
            type(foreign)(**{**vars_of(foreign), **changes}).save(f"{other}.index")
    else:
        Path("methods").mkdir()
        for method, said in METHODS.items():
            Path("methods", f"{method}.yaml").write_text(yaml.safe_dump(said))
        protocol = {**TINY["protocol"], "augmentation": {}, "backbone": "identity"}
        Path("tiny.yaml").write_text(yaml.safe_dump({**TINY, "protocol": protocol}))
    words = make()
    if words[0] == "run":
        words += ["--output", "runs"]
    before = contents(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    said = captured.err.removeprefix("pml-hyperbolic: ").rstrip("\n").replace(str(tmp_path), "TMP")
    assert as_pattern(message).fullmatch(said), said
    # A tar's lock stays, as the next process would use it.
    after = {path: held for path, held in contents(tmp_path).items() if path.suffix != ".lock"}
    assert after == before
    assert not Path("executed").exists()


def vars_of(index):
    names = ("embeddings", "names", "labels", "places", "layout", "fingerprint", "model")
    return {name: getattr(index, name) for name in names}
