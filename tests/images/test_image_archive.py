"""Folders, zips and tars are read in place or unpacked once, never outside their folder."""

import errno
import gzip
import io
import multiprocessing
import os
import pickle
import tarfile
import threading
import zipfile
from types import SimpleNamespace

import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.images.image_archive import ImageArchive, unpack_tar

FILES = {"photos/a/1.jpg": b"one", "photos/b/2.jpg": b"two", "photos/list.txt": b"1 x y\n\n2 z\n"}
HIDDEN = {"photos/.DS_Store": b"", "__MACOSX/photos/a/._1.jpg": b"", "photos/a/._1.jpg": b""}


def fill_folder(folder):
    for name, content in {**FILES, **HIDDEN}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def fill_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/", "")
        for name, content in {**FILES, **HIDDEN}.items():
            archive.writestr(name, content)
    return path


def fill_tar(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {**FILES, **HIDDEN}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return path


FORMS = {
    "folder": lambda folder: fill_folder(folder / "tree"),
    "zip": lambda folder: fill_zip(folder / "tree.zip"),
    "tar": lambda folder: fill_tar(folder / "tree.tar.gz"),
}


@pytest.fixture(params=FORMS)
def archive(request, tmp_path):
    """The same files as a folder, a zip and a tar."""
    return ImageArchive(FORMS[request.param](tmp_path))


def test_names_and_content(archive):
    assert archive.names() == sorted(FILES)
    assert {name: archive.read(name) for name in FILES} == FILES
    with pytest.raises(InputError, match=r"none.jpg cannot be read .* download .*tree.* again"):
        archive.read("photos/none.jpg")


def test_tables(archive):
    assert archive.table("photos/list.txt", (int, str)) == [[1, "x y"], [2, "z"]]
    assert archive.table("photos/list.txt", (int, str), header=1) == [[2, "z"]]
    with pytest.raises(InputError, match=r"list.txt, line 3: expected 3 columns \(int, str, str\)"):
        archive.table("photos/list.txt", (int, str, str))
    with pytest.raises(InputError, match=r"line 1: expected 2 columns \(int, int\), got '1 x y'"):
        archive.table("photos/list.txt", (int, int))


def read_into(queue, archive):
    queue.put(archive.read("photos/b/2.jpg"))


# Newer versions of Python warn about forks of processes that have threads.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_reads_too(archive):
    archive.read("photos/a/1.jpg")
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=read_into, args=(queue, archive))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert queue.get() == b"two"


def test_a_spawned_process_receives_it(archive):
    archive.read("photos/a/1.jpg")
    assert pickle.loads(pickle.dumps(archive)).read("photos/b/2.jpg") == b"two"


def test_a_forked_process_opens_a_zip_by_itself(tmp_path, monkeypatch):
    archive = ImageArchive(fill_zip(tmp_path / "tree.zip"))
    archive.read("photos/a/1.jpg")
    inherited = archive._zip()
    assert archive._zip() is inherited
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert archive._zip() is not inherited
    assert archive.read("photos/a/1.jpg") == b"one"


def test_relative_paths_start_at_the_current_directory(tmp_path, monkeypatch):
    fill_folder(tmp_path / "tree")
    monkeypatch.chdir(tmp_path)
    archive = ImageArchive("tree")
    monkeypatch.chdir("/")
    assert archive.read("photos/a/1.jpg") == b"one"


def test_a_tar_is_unpacked_once(tmp_path):
    path = fill_tar(tmp_path / "tree.tgz")
    ImageArchive(path)
    assert (tmp_path / "tree.unpacked/photos/a/1.jpg").read_bytes() == b"one"
    (tmp_path / "tree.unpacked/photos/a/1.jpg").write_bytes(b"changed")
    assert ImageArchive(path).read("photos/a/1.jpg") == b"changed"
    elsewhere = tmp_path / "new" / "scratch"
    assert ImageArchive(path, elsewhere).read("photos/a/1.jpg") == b"one"
    assert (elsewhere / "tree.unpacked").is_dir()


def test_what_a_killed_process_left_is_not_taken_for_whole(tmp_path):
    path = fill_tar(tmp_path / "tree.tgz")
    abandoned = tmp_path / ".tree.unpacked.part"
    abandoned.mkdir()
    (abandoned / "half.jpg").write_bytes(b"ha")
    assert ImageArchive(path).names() == sorted(FILES)
    assert not abandoned.exists()


def test_a_damaged_tar_leaves_nothing(tmp_path):
    path = fill_tar(tmp_path / "tree.tgz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"tree.tgz cannot be unpacked .* download it again"):
        ImageArchive(path)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == ["tree.tgz"]


def test_runs_that_start_together_unpack_once(tmp_path):
    path = fill_tar(tmp_path / "tree.tgz")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ImageArchive(path).names())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [sorted(FILES)] * 4


def link(name, target, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../outside.jpg"),
        tarfile.TarInfo("photos/../../outside.jpg"),
        tarfile.TarInfo("/tmp/outside.jpg"),
        link("photos/link", "/etc", tarfile.SYMTYPE),
        link("photos/hard.jpg", "photos/a/1.jpg", tarfile.LNKTYPE),
        link("photos/pipe", "", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member.name,
)
def test_members_that_escape_are_refused(tmp_path, member):
    folder = tmp_path / "data"
    folder.mkdir()
    path = fill_tar(folder / "tree.tgz", member)
    with pytest.raises(InputError, match="which is a link, a device or outside"):
        unpack_tar(path, folder / "tree.unpacked")
    assert [p.name for p in folder.iterdir() if not p.name.endswith(".lock")] == ["tree.tgz"]
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_what_is_not_an_archive_is_refused(tmp_path):
    (tmp_path / "tree.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"neither a folder nor an intact archive .* again"):
        ImageArchive(tmp_path / "tree.zip")
    whole = fill_zip(tmp_path / "tree.zip").read_bytes()
    # The list of files is at the end of a zip.
    (tmp_path / "tree.zip").write_bytes(whole[-200:])
    with pytest.raises(InputError, match=r"neither a folder nor an intact archive .* again"):
        ImageArchive(tmp_path / "tree.zip")
    with pytest.raises(InputError, match=r"nowhere.zip does not exist"):
        ImageArchive(tmp_path / "nowhere.zip")


def test_damaged_members_of_a_zip_are_named(tmp_path):
    path = fill_zip(tmp_path / "tree.zip")
    content = path.read_bytes()
    assert content.count(b"two") == 1
    path.write_bytes(content.replace(b"two", b"owt"))
    archive = ImageArchive(path)
    assert archive.read("photos/a/1.jpg") == b"one"
    with pytest.raises(InputError, match=r"photos/b/2.jpg cannot be read .*CRC.* download"):
        archive.read("photos/b/2.jpg")


def broken(*_, **__):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize(
    ("form", "reader"), [("folder", "pathlib.Path.read_bytes"), ("zip", "zipfile.ZipFile.read")]
)
def test_a_disk_that_fails_says_nothing_about_a_file(tmp_path, monkeypatch, form, reader):
    archive = ImageArchive(FORMS[form](tmp_path))
    monkeypatch.setattr(reader, broken)
    with pytest.raises(OSError, match=r"Input/output error: .*tree.*photos/a/1.jpg"):
        archive.read("photos/a/1.jpg")


def test_a_disk_that_fails_says_nothing_about_a_zip(tmp_path, monkeypatch):
    path = fill_zip(tmp_path / "tree.zip")

    def opened(file):
        # zipfile takes a read that fails for a file of another kind.
        try:
            broken()
        except OSError:
            raise zipfile.BadZipFile("File is not a zip file")  # noqa: B904

    monkeypatch.setattr(zipfile, "ZipFile", opened)
    with pytest.raises(OSError, match=r"Input/output error: .*tree.zip"):
        ImageArchive(path)


def test_bombs_in_a_zip_are_not_unpacked(tmp_path):
    path = tmp_path / "tree.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a/1.jpg", "w") as member:
            for _ in range(402):
                member.write(bytes(2**20))
        archive.writestr("a/2.jpg", b"two")
    assert path.stat().st_size < 2**19
    archive = ImageArchive(path)
    message = r"tree.zip/a/1.jpg has 421,527,552 bytes, and an image of 50 megapixels, the limit"
    with pytest.raises(InputError, match=message):
        archive.read("a/1.jpg")
    assert archive.read("a/2.jpg") == b"two"


def test_files_that_are_too_large_or_no_files(tmp_path):
    folder = fill_folder(tmp_path / "tree")
    with (folder / "large.jpg").open("wb") as file:
        file.truncate(2**40)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    archive = ImageArchive(folder)
    with pytest.raises(InputError, match=r"large.jpg has 1,099,511,627,776 bytes"):
        archive.read("large.jpg")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(InputError, match=rf"{name} is a pipe, a socket or a device: remove"):
            archive.read(name)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (2**31, r"more than 1,073,741,824 bytes, which is out of proportion .* nothing was unpack"),
        (2**20, r"more than the 972,800 bytes that there is room for: nothing was unpacked; free"),
    ],
)
def test_bombs_in_a_tar_are_not_unpacked(tmp_path, monkeypatch, size, message):
    if size < 2**30:
        monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1024_000))
    path = tmp_path / "tree.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a/1.jpg")
        member.size = size
        # The header alone: what it says is refused before it is read.
        archive.fileobj.write(member.tobuf())
    with pytest.raises(InputError, match=message):
        ImageArchive(path)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == ["tree.tar"]


def long_header(kind, size, named):
    """A tar whose one file has a header of ``size`` bytes of a kind."""
    header, file = tarfile.TarInfo("h"), tarfile.TarInfo("a.png")
    header.type, header.size = kind, size
    value = named(size)
    return (
        header.tobuf(tarfile.GNU_FORMAT)
        + value
        + bytes(-len(value) % tarfile.BLOCKSIZE)
        + file.tobuf(tarfile.GNU_FORMAT)
        + bytes(2 * tarfile.BLOCKSIZE)
    )


def record(size):
    return b"%d comment=" % size + b"x" * (size - len(b"%d comment=" % size) - 1) + b"\n"


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (tarfile.XHDTYPE, record),
        (tarfile.XGLTYPE, record),
        (tarfile.GNUTYPE_LONGNAME, lambda size: b"n" * size),
        (tarfile.GNUTYPE_LONGLINK, lambda size: b"n" * size),
    ],
)
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path, suffix, kind, named):
    path = tmp_path / f"a{suffix}"
    pack = gzip.compress if suffix == ".tgz" else bytes
    path.write_bytes(pack(long_header(kind, 2**20 + 1, named)))
    message = r"header of 1,048,577 bytes, expected at most 1,048,576: nothing was unpacked; downl"
    with pytest.raises(InputError, match=message):
        ImageArchive(path)
    assert not (tmp_path / "a.unpacked").exists()
    path.write_bytes(pack(long_header(kind, 200, named)))
    assert len(ImageArchive(path).names()) == 1


def test_headers_that_describe_headers_without_end_are_refused(tmp_path):
    header = tarfile.TarInfo("h")
    header.type = tarfile.XHDTYPE
    header.size = 100
    one = header.tobuf(tarfile.GNU_FORMAT) + record(100) + bytes(tarfile.BLOCKSIZE - 100)
    (tmp_path / "a.tar").write_bytes(one * 5000)
    with pytest.raises(InputError, match=r"a.tar cannot be unpacked into .*recursion"):
        ImageArchive(tmp_path / "a.tar")
    assert not (tmp_path / "a.unpacked").exists()


def test_a_disk_that_fails_is_not_taken_for_a_damaged_tar(tmp_path, monkeypatch):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w"):
        pass

    monkeypatch.setattr(tarfile, "open", broken)
    with pytest.raises(OSError, match="Input/output error") as caught:
        unpack_tar(path, tmp_path / "a")
    assert not isinstance(caught.value, InputError)
    assert caught.value.filename == str(path)
    assert not (tmp_path / "a").exists()
