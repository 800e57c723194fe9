"""What was found, as a table and as a page that needs nothing else."""

import base64
import dataclasses
import hashlib
import html.parser
import io
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from pml_hyperbolic.embedder import Embedder, ImageIndex
from pml_hyperbolic.embedder.found_images import FoundImages
from pml_hyperbolic.errors import InputError


@pytest.fixture(scope="session")
def embedder(timm_run):
    return Embedder.load(timm_run.folder, device="cpu")


@pytest.fixture(scope="session")
def index(embedder, photos):
    return ImageIndex.build(embedder, photos, model="<the model>")


class Parser(html.parser.HTMLParser):
    """Collects tags with their attributes, and checks that they nest."""

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_table(index, embedder, photo_paths):
    found = FoundImages.find(index, embedder, photo_paths[3:5], 3)
    lines = found.table().splitlines()
    assert lines[0] == str(photo_paths[3])
    assert lines[1].split() == ["1", "0.0000", "class0", str(photo_paths[3])]
    assert len(lines) == 8
    distances = [float(line.split()[1]) for line in lines[1:4]]
    assert distances == sorted(distances)


def test_no_more_than_there_are(index, embedder, photo_paths):
    found = FoundImages.find(index, embedder, photo_paths[0], 1000)
    assert found.indices.shape == (1, len(photo_paths))


def test_page_is_self_contained(index, embedder, photo_paths, tmp_path):
    page = tmp_path / "new" / "page.html"
    FoundImages.find(index, embedder, photo_paths[:2], 4).write_page(page)
    text = page.read_text()
    parser = Parser()
    parser.feed(text)
    assert parser.open == []
    images = [attributes for tag, attributes in parser.tags if tag == "img"]
    assert len(images) == 2 * 5
    for image in images:
        assert image["alt"]
        kind, content = image["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert max(picture.size) <= 160
    assert not re.search(r"(src|href|url)\W+(?!data:)\w*:?//", text)
    assert {tag for tag, _ in parser.tags}.isdisjoint({"script", "link", "iframe", "a"})
    policy = next(a["content"] for t, a in parser.tags if a.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", text, flags=re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    assert "geodesic distance" in text
    assert "&lt;the model&gt;" in text
    assert "<the model>" not in text


def test_names_are_escaped_and_lost_pictures_said(embedder, photo_paths, tmp_path):
    root = tmp_path / "images" / "<b>class</b>"
    root.mkdir(parents=True)
    names = ['"><script>alert(1)<', "gone"]
    for name, path in zip(names, photo_paths[3:5], strict=True):
        # A slash cannot be part of a name.
        (root / f"{name}.jpg").write_bytes(path.read_bytes())
    index = ImageIndex.build(embedder, tmp_path / "images")
    found = FoundImages.find(index, embedder, np.zeros((50, 50, 3), np.uint8), 2)
    (root / "gone.jpg").unlink()
    found.write_page(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    parser = Parser()
    parser.feed(text)
    assert {tag for tag, _ in parser.tags}.isdisjoint({"script", "b"})
    # The query came from memory, one file is gone.
    assert text.count("no picture") == 2
    assert text.count("data:image/jpeg") == 1


def test_a_tar_that_an_index_names_is_not_unpacked(index, embedder, photo_paths, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(photo_paths[0], "a.jpg")
    place = (str(tmp_path / "a.tar"), "a.jpg")
    foreign = dataclasses.replace(index, places=[place] * len(index))
    FoundImages.find(foreign, embedder, photo_paths[0], 1).write_page(tmp_path / "page.html")
    assert "no picture" in (tmp_path / "page.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "page.html"]


def test_where_nothing_can_be_written(index, embedder, photo_paths, tmp_path):
    (tmp_path / "file").write_text("")
    found = FoundImages.find(index, embedder, photo_paths[0], 1)
    with pytest.raises(InputError, match="cannot be written"):
        found.write_page(tmp_path / "file" / "page.html")
