"""The cache of decoded images: equal to direct decoding, never stale, built by one process."""

import errno
import importlib.metadata
import multiprocessing
import os
import shutil
import threading

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode, functional

from pml_hyperbolic.checked_files import checked_size
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.files import content_hash
from pml_hyperbolic.images import decode_images, image_cache
from pml_hyperbolic.images.image_cache import cache_folder, source_stamp
from tests.image_fixtures import Photos, decode


def assert_direct(images, data):
    assert len(images) == len(data.labels)
    assert images.channels == 3
    for index in range(len(images)):
        assert np.array_equal(images.image(index), data.image(index))


def test_a_small_set_stays_in_memory(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    assert_direct(decode(photos), photos)
    assert not (tmp_path / "cache").exists()


def test_a_large_set_is_decoded_once(photos, cache):
    assert_direct(decode(photos), photos)
    (folder,) = [entry for entry in cache.iterdir() if entry.is_dir()]
    with (folder / "pixels.bin").open("rb") as file:
        assert checked_size(file) == sum(photos.image(i).size for i in range(24))
    photos.asked.clear()
    images = decode(photos)
    # The first image tells how large the data set will be.
    assert photos.asked == [0]
    assert isinstance(images.pixels, np.memmap)
    assert_direct(images, photos)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_short_sides_are_reduced_and_never_enlarged(photos, cache, interpolation):
    images = decode(photos, short_side=16, interpolation=interpolation)
    kinds = set()
    for index in range(len(images)):
        expected = torch.from_numpy(photos.image(index))
        small = min(expected.shape[1:]) <= 16
        kinds.add(small)
        if not small:
            expected = functional.resize(
                expected, [16], InterpolationMode(interpolation), antialias=True
            )
        assert np.array_equal(images.image(index), expected.numpy())
    assert kinds == {True, False}


def test_whatever_changes_the_content_changes_the_cache(cache, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.png").write_bytes(b"a")

    def decodes(**options):
        data = Photos()
        decode(data, sources=[source], **options)
        return data.asked != [0]

    assert decodes()
    assert not decodes()
    (source / "a.png").write_bytes(b"ab")
    assert decodes()
    (source / "b.png").write_bytes(b"")
    assert decodes()
    assert decodes(short_side=12)
    assert decodes(short_side=12, interpolation="bicubic")
    assert decodes(identity={"level": 1})
    assert not decodes()


def test_data_sets_of_another_identity_are_kept_apart(cache):
    for count in (24, 20, 24):
        assert len(decode(Photos(count))) == count


def test_the_key_is_the_one_of_earlier_versions(cache, photos, tmp_path):
    """Otherwise every data set would be decoded again, and old entries would stay forever."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.png").write_bytes(b"a")
    identity = {"spec": {"photos": {"root": "somewhere"}}, "labels": "abc"}
    decode(photos, identity=identity, sources=[source], short_side=12, interpolation="bicubic")
    key = content_hash(
        {
            "format": 1,
            "versions": [importlib.metadata.version(p) for p in ("torch", "torchvision", "pillow")],
            "spec": identity["spec"],
            "sources": [source_stamp(source)],
            "labels": "abc",
            "short_side": 12,
            "interpolation": "bicubic",
        }
    )
    assert (cache / f"photos-{key}").is_dir()


def test_a_known_listing_is_not_listed_again(cache, photos, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "deep/a.png", ".hidden", "a.png"):
        (tmp_path / name).write_bytes(b"1")
    stamp = source_stamp(tmp_path)
    names = [".hidden", "b.png", "deep/a.png", "a.png"]
    monkeypatch.setattr(image_cache.os, "walk", None)
    assert source_stamp(tmp_path, names) == stamp
    assert source_stamp(tmp_path, names[1:]) == stamp
    assert source_stamp(tmp_path, names[2:]) != stamp
    decode(photos, sources=[tmp_path], listings={tmp_path: names})


def test_no_images_are_refused(photos):
    with pytest.raises(InputError, match="photos has no images"):
        decode_images(photos.image, 0, name="photos", identity={})


def test_a_file_rewritten_in_the_same_second_is_noticed(tmp_path):
    file = tmp_path / "archive.zip"
    file.write_bytes(b"1")
    first = source_stamp(file)
    assert first == source_stamp(file)
    os.utime(file, ns=(1, 1))
    assert source_stamp(file) != first


def test_hidden_files_and_dangling_links_are_ignored(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"1")
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "nowhere")
    first = source_stamp(tmp_path)
    (tmp_path / "a" / ".lock").write_text("")
    assert source_stamp(tmp_path) == first
    (tmp_path / "a" / "y.png").write_text("")
    assert source_stamp(tmp_path) != first


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("PML_HYPERBOLIC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "pml_hyperbolic"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "pml_hyperbolic"


def _build(start, results):
    start.wait()
    data = Photos()
    images = decode(data)
    results.put((len(data.asked), int(images.pixels.sum())))


def test_one_of_several_processes_decodes(cache):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=_build, args=(start, results)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    seen = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    # Each process reads the first image, then one of them decodes all images.
    assert sorted(asked for asked, _ in seen) == [1, 1, 25]
    assert {total for _, total in seen} == {sum(int(Photos().image(i).sum()) for i in range(24))}


def test_without_locks_the_first_to_finish_wins(cache, photos, monkeypatch):
    """On a file system without locks, two processes may build the same entry."""
    import filelock

    class NoLock:
        def __init__(self, path):
            pass

        def __enter__(self):
            # Another process finishes while this one is decoding.
            decoded = threading.Event()
            rename = os.rename

            def slow(source, target):
                if not decoded.is_set():
                    decoded.set()
                    shutil.copytree(source, target)
                rename(source, target)

            monkeypatch.setattr(os, "rename", slow)

        def __exit__(self, *exception):
            pass

    monkeypatch.setattr(filelock, "FileLock", NoLock)
    assert_direct(decode(photos), photos)
    assert not list(cache.glob("*.part-*"))


def test_a_killed_builder_leaves_nothing_behind(cache, photos):
    class Killed(BaseException):
        pass

    whole = photos.image
    photos.image = lambda index: whole(index)
    decode(photos)
    (folder,) = [entry for entry in cache.iterdir() if entry.is_dir()]
    # kill -9 leaves a part of a folder, never the folder itself.
    folder.rename(folder.with_name(f"{folder.name}.part-abc"))
    (cache / f"{folder.name}.part-abc" / "pixels.bin").write_bytes(b"half")
    assert_direct(decode(photos), photos)
    assert [entry.name for entry in cache.iterdir() if entry.is_dir()] == [folder.name]


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, photos, cache):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        InputError, match=r"photos cannot be kept in .*PML_HYPERBOLIC_CACHE"
    ) as info:
        decode(photos)
    assert "\n" not in str(info.value)


def test_a_full_disk(monkeypatch, photos, cache):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(image_cache.os, "fsync", full)
    with pytest.raises(InputError, match=r"No space left on device, [\d.]+ GiB free\): free some"):
        decode(photos)
    assert not [entry for entry in cache.iterdir() if entry.is_dir()]


def test_an_image_that_cannot_be_decoded_is_named(photos, cache):
    whole = photos.image

    def image(index):
        if index == 7:
            raise OSError("broken data stream")
        return whole(index)

    photos.image = image
    with pytest.raises(InputError, match="photos: image 7 cannot be decoded: broken data stream"):
        decode(photos)
    photos.image = lambda index: whole(index)[:1] if index == 3 else whole(index)
    with pytest.raises(InputError, match="image 3 has 1 channels, the first has 3"):
        decode(photos)
    photos.image = lambda index: whole(index).astype(float)
    with pytest.raises(InputError, match=r"image 0 .* uint8, got \(3, .*\) float64"):
        decode(photos)


@pytest.mark.parametrize("number", [0, 7])
def test_a_disk_that_fails_is_not_taken_for_a_damaged_image_or_a_failing_cache(
    photos, cache, number
):
    whole = photos.image

    def image(index):
        if index == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO), "/photos/7.png")
        return whole(index)

    photos.image = image
    with pytest.raises(
        InputError, match=rf"image {number} .* /photos/7.png .* the disk reports .*: check it or"
    ):
        decode(photos)


def test_a_first_image_that_promises_too_little(cache, monkeypatch):
    """What was thought to fit into memory goes to the cache if it does not."""
    monkeypatch.setattr(image_cache, "IN_MEMORY", 1000)

    def read(index):
        return np.full((1, 1, 1) if index == 0 else (1, 100, 100), index, np.uint8)

    images = decode_images(read, 20, name="growing", identity={})
    assert isinstance(images.pixels, np.memmap)
    assert [int(images.image(i).max()) for i in range(20)] == list(range(20))


def test_few_images_are_decoded_ahead(cache, monkeypatch):
    monkeypatch.setattr(image_cache, "_cores", lambda: 2)
    started, written = [], []
    save = np.ascontiguousarray

    def read(index):
        started.append(index)
        return np.zeros((1, 4, 4), np.uint8)

    def record(image):
        written.append(len(set(started)))
        return save(image)

    monkeypatch.setattr(np, "ascontiguousarray", record)
    decode_images(read, 100, name="many", identity={})
    assert len(written) == 100
    assert all(seen <= number + 8 + 1 for number, seen in enumerate(written))


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


DAMAGES = {
    "a flipped pixel": lambda folder: flip(folder / "pixels.bin", 8 * 5000),
    "a flipped size": lambda folder: flip(folder / "sizes.npy", 8 * 200),
    "a flipped header": lambda folder: flip(folder / "sizes.npy", 8 * 20),
    "a flipped checksum": lambda folder: flip(folder / "pixels.bin", 8 * 52500),
    "short pixels": lambda folder: os.truncate(folder / "pixels.bin", 5000),
    "no pixels": lambda folder: os.truncate(folder / "pixels.bin", 0),
    "no file of pixels": lambda folder: (folder / "pixels.bin").unlink(),
    "no sizes": lambda folder: (folder / "sizes.npy").unlink(),
    "empty sizes": lambda folder: os.truncate(folder / "sizes.npy", 0),
    "half of the sizes": lambda folder: os.truncate(folder / "sizes.npy", 300),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_decoded_again(photos, cache, caplog, damage):
    decode(photos)
    (folder,) = [entry for entry in cache.iterdir() if entry.is_dir()]
    DAMAGES[damage](folder)
    photos.asked.clear()
    assert_direct(decode(photos), photos)
    assert len(photos.asked) > 24
    (record,) = caplog.records
    assert f"{folder} are damaged" in record.getMessage()
    assert "decoding them again" in record.getMessage()
    caplog.clear()
    photos.asked.clear()
    assert_direct(decode(photos), photos)
    assert photos.asked[0] == 0
    assert caplog.records == []


def test_an_entry_of_an_earlier_version_is_read(photos, cache):
    """It has no checksum, but its size is known."""
    decode(photos)
    (folder,) = [entry for entry in cache.iterdir() if entry.is_dir()]
    for name in ("pixels.bin", "sizes.npy"):
        with (folder / name).open("rb") as file:
            size = checked_size(file)
        os.truncate(folder / name, size)
    photos.asked.clear()
    assert_direct(decode(photos), photos)
    photos.asked.clear()
    os.truncate(folder / "pixels.bin", size)
    assert_direct(decode(photos), photos)
    assert len(photos.asked) > 24
