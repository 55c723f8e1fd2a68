"""What a file is that Pillow does not read, in words: from its first bytes and its tags."""

from pathlib import Path

HEADS = (
    (b"%PDF", 0, "a PDF document"),
    (b"\x93NUMPY", 0, "an array of numpy"),
    (b"ftypheic", 4, "a HEIC photograph"),
    (b"ftypmif1", 4, "a HEIC photograph"),
    (b"DICM", 128, "a DICOM image"),
    (b"\x76\x2f\x31\x01", 0, "an OpenEXR image"),
    (b"\x89HDF", 0, "an HDF5 file"),
    (b"PK\x03\x04", 0, "a ZIP archive"),
    (b"version https://git-lfs", 0, "a pointer of Git LFS, whose image was not fetched"),
)
"""Bytes, where they stand, and what begins so."""

JPEG_KINDS = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless"}
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}


def what_it_is(path: Path) -> str | None:
    """What a file is that could not be read, and what to save it as; None where that is unclear."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
        if head[:2] == b"\xff\xd8":
            return _jpeg(head)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(path)
    except Exception:  # whatever is wrong with it: that is what the caller is reporting already
        return None
    for sign, place, words in HEADS:
        if head[place : place + len(sign)] == sign:
            return f"{words}; save it as PNG" if "image" in words or "photo" in words else words
    return None


def _jpeg(head: bytes) -> str | None:
    """By the marker that begins the frame: its kind, and bits a sample."""
    place = 2
    while place + 4 < len(head) and head[place] == 0xFF:
        marker = head[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, kind = head[place + 4], JPEG_KINDS.get(marker, "unusual")
            if bits == 8 and kind in ("baseline", "extended", "progressive"):
                return None
            return f"a JPEG of {bits} bits ({kind}), which is not read; save it as PNG"
        step = 0 if marker in _NO_LENGTH else int.from_bytes(head[place + 2 : place + 4], "big")
        place += 2 + step
    return None


def _tiff(path: Path) -> str | None:
    """By its tags: channels, bits, type of number, compression."""
    import tifffile  # only here: most data sets hold no such file

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        channels, bits, alpha = page.samplesperpixel, page.bitspersample, bool(page.extrasamples)
        names = {1: "whole numbers", 2: "signed numbers", 3: "floating point", 6: "complex numbers"}
        kind = names.get(int(page.sampleformat), "another type of number")
        if channels == 2 and alpha:
            form = "grey with transparency"
        else:
            form = f"{channels} channel{'s' * (channels > 1)}"
        packed = "" if page.compression == 1 else f", compression {page.compression.name}"
    return (
        f"a TIFF of {form}, {bits} bits each, {kind}{packed}, which is not read; save it as "
        "grey or RGB of 8 or 16 bits without transparency"
    )
