import io
import shutil

import numpy as np
import pytest
from PIL import Image

from cfa_lab.data.depth import Depth
from cfa_lab.deploy.view import uploads
from cfa_lab.deploy.view.uploads import read_upload
from cfa_lab.errors import UserError


def upload(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def encoded(form, **options):
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (1, 2, 3)).save(file, form, **options)
    return file.getvalue()


def test_an_upload_is_decoded_as_a_file_of_the_run_would_be_and_deleted(viewer, tmp_path):
    original = viewer.table.absolute("square/test/spot/000.png")
    path = tmp_path / "part.png"
    shutil.copy(original, path)
    examined = viewer.upload(path)
    assert not path.exists() and examined.name == "part.png" and examined.mask is None
    assert examined.scored.score == viewer.open("square/test/spot/000.png").scored.score


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_every_allowed_format_is_read(tmp_path, form):
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(form, form.lower())
    image = read_upload(upload(tmp_path, f"a.{suffix}", encoded(form)), Depth())
    assert image.shown().mode == "RGB" and image.size == (4, 6)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", b"no image", r"a\.png cannot be read"),
        ("a.png", b"", r"a\.png cannot be read"),
        ("a.png", encoded("PNG")[:45], r"a\.png"),
        ("a.txt", encoded("PNG"), r"a\.txt is no image by its name"),
        ("a.svg", b"<svg/>", r"a\.svg is no image by its name"),
        ("a.png", encoded("GIF"), "no image of an allowed format"),
        ("a.png", encoded("EPS"), "no image of an allowed format"),  # would start Ghostscript
    ],
)
def test_what_is_no_image_is_one_line_without_our_paths_and_is_deleted(
    tmp_path, name, content, said
):
    path = upload(tmp_path, name, content)
    with pytest.raises(UserError, match=said) as caught:
        read_upload(path, Depth())
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)
    assert not path.exists()


def test_grey_values_that_cannot_be_used_are_told(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 6), dtype=np.float32)).save(file, "TIFF")
    with pytest.raises(UserError, match=r"a\.tif.*floating point.*upload another"):
        read_upload(upload(tmp_path, "a.tif", file.getvalue()), Depth())


def test_a_small_file_of_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_PIXELS", 23)
    with pytest.raises(UserError, match="million pixels"):
        read_upload(upload(tmp_path, "a.png", encoded("PNG")), Depth())
    monkeypatch.setattr(uploads, "MAX_PIXELS", 24)
    assert read_upload(upload(tmp_path, "a.png", encoded("PNG")), Depth()).size == (4, 6)
