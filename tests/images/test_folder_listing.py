"""Files below a folder are listed once, whatever links there are."""

import errno
import os
from contextlib import nullcontext
from typing import NamedTuple

import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.images.folder_listing import FolderListing


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "b/c/2.jpg", ".hidden/3.jpg", "4.jpg"):
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (tmp_path / "tree" / "empty" / "inside").mkdir(parents=True)
    return tmp_path / "tree"


def test_files_and_empty_folders(tree):
    (tree / "dangling.jpg").symlink_to("nowhere")
    (tree / "circle.jpg").symlink_to("circle.jpg")
    listing = FolderListing.of(tree)
    assert sorted(listing.files) == [
        *(".hidden/3.jpg", "4.jpg", "a/1.jpg", "b/c/2.jpg", "circle.jpg", "dangling.jpg"),
    ]
    assert listing.empty == ["empty/inside"]
    assert listing.unreadable == []


def test_links_are_followed(tree, tmp_path):
    (tree / "same").symlink_to("b")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "5.jpg").write_bytes(b"x")
    (tree / "other").symlink_to(tmp_path / "elsewhere")
    assert {"b/c/2.jpg", "same/c/2.jpg", "other/5.jpg"} <= set(FolderListing.of(tree).files)


@pytest.mark.parametrize(
    "links", [{"a/one": "."}, {"a/up": "../.."}, {"a/x": "../b", "b/y": "../a"}]
)
def test_loops_are_found(tree, links):
    for name, target in links.items():
        (tree / name).symlink_to(target)
    with pytest.raises(InputError, match=r"tree/.* is a link to a folder that contains it: remove"):
        FolderListing.of(tree)


def test_links_that_multiply_are_found(tree):
    # Without a loop, every level doubles the number of paths.
    for level in range(40):
        (tree / f"level{level}").mkdir()
        for name in ("left", "right"):
            (tree / f"level{level}" / name).symlink_to(f"../level{level + 1}")
    (tree / "level40").mkdir()
    with pytest.raises(InputError, match=r"links below .*tree lead to the same folders over and"):
        FolderListing.of(tree)


def test_folders_that_cannot_be_listed_are_named(tree, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = FolderListing.of(tree)
    assert listing.unreadable == ["b"]
    assert "a/1.jpg" in listing.files


@pytest.mark.parametrize("folder", ["", "b"])
def test_a_disk_that_fails_does_not_make_a_folder_vanish(tree, monkeypatch, folder):
    scandir = os.scandir

    def fail(path):
        if path == tree / folder:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(OSError, match=r"Input/output error: .*tree"):
        FolderListing.of(tree)


def test_a_disk_that_fails_to_look_up_a_link_does_not_make_a_folder_a_file(tree, monkeypatch):
    class Link(NamedTuple):
        name: str = "b"
        path: str = str(tree / "b")

        def is_dir(self):
            raise OSError(errno.EIO, os.strerror(errno.EIO), self.path)

    monkeypatch.setattr(os, "scandir", lambda path: nullcontext([Link()]))
    with pytest.raises(OSError, match=r"Input/output error: .*tree/b"):
        FolderListing.of(tree)
