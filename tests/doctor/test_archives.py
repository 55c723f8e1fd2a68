"""Archives: known by their hash, unpacked whole or not at all, and nothing leaves the folder."""

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.archives import FILES, tarred, zipped

from cfa_lab import doctor
from cfa_lab.cli import compose
from cfa_lab.doctor import archives
from cfa_lab.doctor.archives import identify, unpack
from cfa_lab.doctor.sources import SOURCES, Source
from cfa_lab.errors import UserError


def refusal(archive: Path, target: Path) -> str:
    with pytest.raises(UserError) as caught:
        unpack(archive, target)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_archives_of_each_format_are_unpacked(tmp_path: Path, name: str):
    archive = (zipped if name == "a.zip" else tarred)(tmp_path / name)
    assert unpack(archive, tmp_path / "out") == 2
    for path, content in FILES.items():
        assert (tmp_path / "out" / path).read_bytes() == content
    assert "is there already" in refusal(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/evil", "..\\evil", "C:\\evil"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_paths_that_leave_the_folder_are_refused_and_nothing_stays(tmp_path: Path, make, name: str):
    archive = make(tmp_path / "a", {**FILES, name: b"evil"})
    assert "leaves the folder" in refusal(archive, tmp_path / "inner" / "out")
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == [archive]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes):
    info = tarfile.TarInfo("set/link")
    info.type, info.linkname = kind, "/etc/passwd"
    assert "link or device" in refusal(tarred(tmp_path / "a.tar", FILES, info), tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("set/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "link or device" in refusal(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_archive_is_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, share: float
):
    noise = {"set/a": bytes(range(256)) * 40, "set/b": b"x" * 5000}
    archive = (zipped if name == "a.zip" else tarred)(tmp_path / name, noise)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    refusal(archive, tmp_path / "out")
    assert [*tmp_path.iterdir()] == [archive]


def test_what_does_not_fit_on_the_disk_is_refused_beforehand(tmp_path: Path, monkeypatch):
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage)
    assert "GB are free" in refusal(zipped(tmp_path / "a.zip"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_archive_and_one_that_is_missing(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(b"<html>")
    assert "no tar or zip archive" in refusal(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(UserError, match=r"cannot read archive .*: No such file"):
        identify(tmp_path / "gone.zip")


def test_known_hashes_are_compared_as_far_as_they_are_known(tmp_path: Path, monkeypatch, capsys):
    archive = zipped(tmp_path / "renamed.zip")
    digest = identify(archive)[1].split()[1]
    assert "not verified" in identify(archive)[1]
    known = Source(
        layout="visa",
        title="Toys",
        where="here",
        licence="free",
        archive="toys.zip",
        hash_ends=(digest[:8], digest[-6:]),
    )
    monkeypatch.setattr(archives, "SOURCES", (known,))
    source, sentence = identify(archive)
    assert source is known and "the 14 known of 64 digits" in sentence
    doctor.main(["--unpack", str(archive)], compose)
    out = capsys.readouterr().out
    assert f"unpacked into {tmp_path / 'visa'}" in out and "licence: free" in out
    zipped(tmp_path / "toys.zip", {"other": b"content"})
    with pytest.raises(UserError, match=r"but Toys has .{8}\.\.\..{6}; the download is damaged"):
        identify(tmp_path / "toys.zip")


def test_all_hash_ends_are_hexadecimal_and_no_longer_than_the_hash():
    for source in SOURCES:
        if source.hash_ends:
            assert all(int(part, 16) >= 0 for part in source.hash_ends)
            assert source.num_known_digits <= {"sha256": 64, "md5": 32}[source.algorithm]
    assert len({source.layout for source in SOURCES}) == len(SOURCES)
