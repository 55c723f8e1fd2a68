"""What an image file is known by."""

import os
from pathlib import Path

import pytest

from cfa_lab.data.images import decode_image
from cfa_lab.errors import UserError
from cfa_lab.features.identity import image_hash


def test_a_pipe_or_a_folder_in_place_of_an_image_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png"):
        with pytest.raises(UserError, match=rf"{name} is no file"):
            image_hash(tmp_path / name)
    with pytest.raises(UserError, match="cannot read image"):
        image_hash(tmp_path / "gone.png")


def test_nor_is_a_pipe_waited_for_by_a_decoder(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"cannot read image .*pipe\.png: a pipe"):
        decode_image(tmp_path / "pipe.png")
