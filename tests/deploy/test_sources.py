import io
from pathlib import Path

import pytest

from cfa_lab.deploy.sources import named_images
from cfa_lab.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "sub/deep/c.bmp", "notes.txt", ".hidden.png", "odd.raw"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments):
    return [path.as_posix() for path in named_images(arguments)]


def test_folders_are_searched_at_any_depth_and_files_taken_as_they_are(folder):
    assert names(".") == ["a.JPG", "b.png", "sub/deep/c.bmp"]
    assert names("odd.raw", "sub") == ["odd.raw", "sub/deep/c.bmp"]


def test_globs_that_the_shell_left_alone(folder):
    assert names("*.png") == ["b.png"]
    assert names("**/*.bmp") == ["sub/deep/c.bmp"]
    assert [Path(name).name for name in names(f"{folder}/*.png")] == ["b.png"]


def test_each_path_once_in_the_order_named(folder):
    assert names("sub", "b.png", ".", "b.png") == ["sub/deep/c.bmp", "b.png", "a.JPG"]


def test_a_file_whose_name_looks_like_a_glob(folder):
    (folder / "x[1].png").touch()
    assert names("x[1].png") == ["x[1].png"]


def test_paths_on_standard_input_need_not_be_there(folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("b.png\n\nnone.png\r\nwith space.png"))
    assert names("-") == ["b.png", "none.png", "with space.png"]


@pytest.mark.parametrize("argument", ["none.png", "*.gif", "nothing/"])
def test_an_argument_that_names_nothing_is_told_before_work_begins(folder, argument):
    with pytest.raises(UserError, match="names no image"):
        named_images(["b.png", argument])


def test_a_folder_without_images_is_told(folder):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        named_images(["empty"])
