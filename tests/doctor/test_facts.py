import struct

from PIL import Image

from cfa_lab.doctor.facts import image_facts, mask_facts


def test_a_file_whose_second_page_has_no_size_is_named(tmp_path):
    """Its first page reads well; Pillow 12.3 raises TypeError where pages are counted."""
    path = tmp_path / "pages.tif"
    page = Image.new("L", (9, 12), 3)
    page.save(path, save_all=True, append_images=[page])
    assert image_facts(path).num_frames == 2
    assert mask_facts(path, 0).marks_defects
    content = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", content, 4)[0]
    entries = struct.unpack_from("<H", content, first)[0]
    second = struct.unpack_from("<I", content, first + 2 + 12 * entries)[0]
    struct.pack_into("<H", content, second + 2, 0x9999)  # in place of the tag of the width
    path.write_bytes(content)
    for error in (image_facts(path).error, mask_facts(path, 0).error):
        assert error is not None and str(path) in error and "\n" not in error
