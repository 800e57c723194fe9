"""Embedding sets of runs, of their snapshots and of files."""

import errno
import os

import numpy as np
import pytest
import torch

from pml_hyperbolic.analysis import read_embeddings
from pml_hyperbolic.benchmark.measuring.run_contents import test_set as read_test_set
from pml_hyperbolic.benchmark.plotting import gathering
from pml_hyperbolic.benchmark.plotting.gathering import file_set, line_set, snapshot_sets
from pml_hyperbolic.benchmark.plotting.run_line import chosen_lines
from pml_hyperbolic.benchmark.results.run_files import CONFIG_FILE
from pml_hyperbolic.benchmark.results.snapshots import read_snapshots
from pml_hyperbolic.errors import InputError


def test_a_run_has_its_test_embeddings_and_the_names_of_their_classes(tiny):
    (line,) = chosen_lines(tiny.folder / "chest", most=1)
    one = line_set(line)
    assert torch.equal(one.embeddings, read_test_set(line.run, "hyperbolic").embeddings)
    assert [one.name(0, label) for label in range(3)] == ["5", "6", "7"]
    assert one.image(0).shape == (8, 8)
    # CHEST's proxies are those of training classes.
    assert one.of_classes is None


def test_a_disk_that_fails_is_not_taken_for_a_data_set_without_images(tiny, monkeypatch):
    (line,) = chosen_lines(tiny.folder / "chest", most=1)
    read, reads = gathering.read_mapping, []

    def fail_at_the_second(path):
        reads.append(path)
        if len(reads) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    monkeypatch.setattr(gathering, "read_mapping", fail_at_the_second)
    with pytest.raises(OSError, match=CONFIG_FILE):
        line_set(line)
    monkeypatch.setattr(gathering, "read_mapping", read)

    def fail(*_):
        try:
            raise OSError(errno.EIO, os.strerror(errno.EIO), "7.png")
        except OSError as error:
            raise InputError("an image cannot be decoded") from error

    monkeypatch.setattr(gathering, "_opened", fail)
    with pytest.raises(OSError, match=r"7\.png"):
        line_set(line)
    # Of a data set that is damaged, all else is still drawn.
    monkeypatch.setattr(gathering, "_opened", lambda *_: {}["no such member"])
    assert "the data set cannot be read (KeyError" in line_set(line).no_image


def test_snapshots_have_the_columns_and_proxies_of_their_space(tiny):
    for space in ("euclidean", "hyperbolic"):
        (line,) = chosen_lines(tiny.folder / "chest", most=1, space=space)
        kept = read_snapshots(line.run.folder)
        sets = snapshot_sets(line, "train", [])
        assert [one.epoch for one in sets] == list(kept.epochs)
        for number, one in enumerate(sets):
            expected = kept.embeddings["train"][number][:, line.columns]
            np.testing.assert_array_equal(one.embeddings, expected.astype(np.float32))
            assert one.of_classes == f"chest/{space}"
            assert (one.proxy_distances[one.of_classes] is None) == (space == "euclidean")
        assert [one.epoch for one in snapshot_sets(line, "test")] == [kept.selected]
        assert snapshot_sets(line, "test")[0].of_classes is None


def test_proxies_that_are_compared_by_cosine_in_a_hyperbolic_space(tiny):
    (line,) = chosen_lines(tiny.folder / "hier", most=1)
    (one,) = snapshot_sets(line, "train")
    assert one.hierarchical == "hierarchical"
    assert one.proxy_distances["hierarchical"].c == 0.1


def test_a_file(with_images, arrays):
    one = file_set(with_images, read_embeddings(with_images))
    assert one.title == "photos"
    assert one.levels == ("class", "superclass")
    groups, names = one.groups(0)
    assert names == ["ant", "bee", "cat", "dog"]
    np.testing.assert_array_equal(groups, arrays["labels"])
    assert one.name(1, 1) == "superclass 1"
    assert one.image(3).shape == (8, 8, 3)
    assert one.hierarchical == "proxies"
