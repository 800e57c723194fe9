"""The page is whole and self-contained, and one broken part does not take the others with it."""

import errno
import html
import json
import re
import sys

import numpy as np
import pytest

from pml_hyperbolic.benchmark.page import page as page_module
from pml_hyperbolic.checked_files import read_checked_text
from pml_hyperbolic.errors import InputError

ORDER = [
    "verdict",
    "geometry",
    "untrained",
    "training",
    "hierarchy",
    "gallery",
    "maps",
    "scores",
    "cost",
    "protocol",
]


def test_sections_come_in_their_order(whole_page, sections_of):
    assert list(sections_of(whole_page)) == ORDER
    links = re.findall(r'<a href="#([a-z-]+)">', whole_page)
    assert links == ORDER


def test_only_what_was_not_measured_is_a_problem(whole_page, problems_of):
    problems = problems_of(whole_page)
    # Digits have no superclasses, and the process that ran the tests is no pml-hyperbolic command.
    assert set(problems) <= {"untrained", "hierarchy", "maps", "protocol"}
    assert "have one level" in problems["hierarchy"][0]
    (line,) = problems["maps"]
    assert line.startswith("Not shown: the similarity of classes. The reason: the labels have one")


def test_nothing_is_loaded_from_elsewhere(whole_page):
    assert len(whole_page) < 10e6
    assert "default-src 'none'" in whole_page
    sources = re.findall(r'(?:src|href)="([^"]{1,40})', whole_page)
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert "<script" not in whole_page
    assert "url(" not in whole_page


def test_every_figure_has_a_text_that_stands_for_it(whole_page, sections_of, num_figures):
    images = re.findall(r"<img [^>]*>", whole_page)
    assert len(images) == num_figures
    for image in images:
        (text,) = re.findall(r'alt="([^"]*)"', image)
        assert len(text) > 30
    forest = re.findall(r'alt="([^"]*)"', sections_of(whole_page)["verdict"])[0]
    assert "hier (hyperbolic): " in forest


def test_protocol_and_commands_are_there(whole_page, sections_of, tiny):
    protocol = html.unescape(sections_of(whole_page)["protocol"])
    assert "pml-hyperbolic report tiny --write out" in protocol
    assert "samples_per_class: 4" in protocol
    assert "CHESTLoss" in protocol
    assert tiny.config.protocol.hash in protocol
    assert tiny.config.methods["hier"].hash in protocol


def forget_measures(folder):
    """Leave the runs without the measures that are taken when they end."""
    for file in folder.glob("*/*/measures.json"):
        file.unlink()


def damage_embeddings(folder):
    forget_measures(folder)
    for file in folder.glob("hier/*/test_embeddings.npy"):
        file.write_bytes(file.read_bytes()[:100])


def remove_embeddings(folder):
    for file in folder.glob("*/*/test_embeddings.npy"):
        file.unlink()


def put_nan(folder):
    forget_measures(folder)
    for file in folder.glob("hier/*/test_embeddings.npy"):
        embeddings = np.load(file)
        embeddings[3, 1] = np.nan
        np.save(file, embeddings)


def remove_config(folder):
    (folder / "benchmark.yaml").unlink()


def move_data(folder):
    for file in folder.glob("*/*/config.yaml"):
        text = read_checked_text(file)
        assert "digits: {}" in text
        file.write_text(text.replace("digits: {}", "omniglot: {root: nowhere}"))


def forget_snapshots(folder):
    for file in folder.glob("*/*/snapshots.npz"):
        file.unlink()


def put_nan_everywhere(folder):
    for file in folder.glob("*/*/test_embeddings.npy"):
        embeddings = np.load(file)
        embeddings[3] = np.nan
        np.save(file, embeddings)
    for file in folder.glob("*/*/snapshots.npz"):
        arrays = dict(np.load(file))
        arrays["train/embeddings"][:, 3] = np.nan
        np.savez(file, **arrays)


def damage_records(folder):
    for file in folder.glob("*/*/records/logs.db"):
        file.write_bytes(b"not a database")


def leave_one_unfinished(folder):
    (folder / "hier" / "fold0_seed1" / "result.json").unlink()


def make_old(folder):
    """Rows as the first versions wrote them, without scores of queries or embeddings."""
    forget_measures(folder)
    lacking = (
        "checksum",
        "data",
        "method_hash",
        "parameters",
        "geometry",
        "levels",
        "train",
        "saturation",
    )
    for file in folder.glob("*/*/result.json"):
        rows = json.loads(file.read_text())
        file.write_text(
            json.dumps([{k: v for k, v in row.items() if k not in lacking} for row in rows])
        )
        for name in ("test_embeddings.npy", "queries.npz", "environment.json"):
            (file.parent / name).unlink()


@pytest.mark.parametrize(
    ("damage", "section", "expected"),
    [
        (damage_embeddings, "geometry", "cannot be read"),
        (remove_embeddings, "gallery", "has no test_embeddings.npy: run it again"),
        (put_nan, "geometry", "holds NaN or infinite values"),
        (remove_config, "protocol", "no benchmark.yaml beside these runs"),
        (move_data, "gallery", "this figure needs images, and"),
        (forget_snapshots, "maps", "kept or with keep_snapshots: false"),
        (put_nan_everywhere, "gallery", "holds NaN or infinite values"),
        (put_nan_everywhere, "maps", "Not shown: the disk, the similarity of classes. The reason"),
        (put_nan_everywhere, "maps", "of the 160 embeddings contain NaN"),
        (damage_records, "training", "recorded no learning curve"),
        (leave_one_unfinished, "protocol", "Unfinished runs are left out: hier fold0_seed1."),
        (make_old, "gallery", "has no queries.npz: run it again"),
        (make_old, "geometry", "did not keep test_embeddings.npy"),
    ],
)
def test_a_broken_part_becomes_a_line(copy, page_of, sections_of, damage, section, expected):
    damage(copy)
    sections = sections_of(page_of(copy))
    assert expected in html.unescape(sections[section])
    assert list(sections) == ORDER
    assert "<img" in sections["verdict"]
    assert "<table>" in sections["cost"]


def test_a_test_set_of_one_class(copy, page_of, sections_of, problems_of):
    # `run` refuses to score a single class: such a folder comes from other tools.
    for file in copy.glob("*/*/queries.npz"):
        arrays = dict(np.load(file))
        arrays["rows/labels"][:] = 0
        np.savez(file, **arrays)
    page = page_of(copy)
    sections = sections_of(page)
    assert list(sections) == ORDER
    assert "<img" in sections["gallery"]
    assert sections["maps"].count("<img") == 2  # the fixture of all tests leaves out the disk
    assert "one level" in problems_of(page)["hierarchy"][0]


def test_an_error_that_nobody_expected_becomes_a_line(
    tiny, page_of, sections_of, problems_of, monkeypatch
):
    def fail(*arguments):
        raise KeyError("surprise")

    monkeypatch.setattr(page_module, "training_section", fail)
    page = page_of(tiny.folder)
    assert list(sections_of(page)) == ORDER
    assert "KeyError" in html.unescape(problems_of(page)["training"][0])


@pytest.mark.parametrize("kind", [ValueError, InputError])
def test_a_disk_that_fails_ends_the_page_and_not_a_part_of_it(tiny, page_of, monkeypatch, kind):
    def fail(*arguments):
        try:
            raise OSError(errno.EIO, "Input/output error", "queries.npz")
        except OSError as error:
            raise kind("not a zip file") from error

    monkeypatch.setattr(page_module, "training_section", fail)
    with pytest.raises(OSError, match=r"queries\.npz"):
        page_of(tiny.folder)


def test_without_umap_the_disk_names_the_extra(tiny, page_of, problems_of, monkeypatch):
    from pml_hyperbolic.benchmark.page import maps_section
    from tests.benchmark.page.conftest import DISK

    monkeypatch.setattr(maps_section, "_disk", DISK)
    monkeypatch.setitem(sys.modules, "umap", None)
    page = page_of(tiny.folder)
    assert "pip install 'pml-hyperbolic[plots]'" in html.unescape(problems_of(page)["maps"][0])


def test_benchmarks_with_names_stand_in_one_page(tiny, page_of, sections_of):
    page = page_of(("first", tiny.folder), ("second", tiny.folder))
    verdict = sections_of(page)["verdict"]
    for name in ("first:chest", "second:chest", "second:hier"):
        # Methods below the untrained networks have a mark.
        assert re.search(rf"<td>{name}( †)?</td>", verdict)


def test_a_page_of_one_method(tiny, page_of, sections_of):
    sections = sections_of(page_of(tiny.folder / "proxy_anchor"))
    assert "there is nothing to compare it with" in sections["verdict"]
    assert "gallery" not in sections
