"""The page in a real browser: choose, look, move, click, upload; nothing on the console."""

import shutil
import signal
from pathlib import Path

import pytest
from helpers.chromium import CHROMIUM, WHY_NOT, Browser, browsing
from helpers.viewing import view
from PIL import Image

pytest.importorskip("gradio", reason="needs the extra `view`")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)]

SPOT = "square/test/spot/000.png"
PICTURES = ("image", "mask", "heat", "overlay", "above")


def text(name: str) -> str:
    """The script that gives what a part of the page says."""
    return f"(document.querySelector('#{name}')?.innerText ?? '')"


SAID = "(document.querySelector('#said textarea, #said input')?.value ?? '')"


def shown(name: str) -> str:
    """The script that tells whether a picture of the page shows."""
    return (
        f"[...document.querySelectorAll('#{name} img')]"
        ".some((one) => one.complete && one.naturalWidth)"
    )


def move(name: str, value: float) -> str:
    """The script that moves a slider."""
    return f"""(() => {{
      const slider = document.querySelector('#{name} input[type=range]');
      const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
      set.call(slider, {value});
      slider.dispatchEvent(new Event('input', {{bubbles: true}}));
      slider.dispatchEvent(new Event('change', {{bubbles: true}}));
    }})()"""


def choose(browser: Browser, path: str) -> None:
    for _ in range(20):  # the page may still be moving its parts about
        browser.click("#chosen input")
        if browser.happens("document.querySelector('li[role=option]')", 2):
            break
    browser.click(f"li[aria-label^='{path}']")


def opened(browser: Browser, address: str) -> None:
    browser.call("Page.navigate", url=address)
    browser.wait("document.querySelector('#counts') && document.querySelector('#upload')")


def assert_clean(browser: Browser, address: str) -> None:
    """Nothing went wrong in the page, and it asked nobody but its own server."""
    assert browser.console == []
    foreign = {one for one in browser.requests if not one.startswith((address, "data:", "blob:"))}
    assert foreign <= {"about:blank"}


def test_the_page_as_it_is_used(tiny_run, tiny_root, run_scores, viewer, tmp_path):
    with (
        view(tiny_run, tmp_path, ending=signal.SIGINT) as serving,
        browsing(tmp_path / "profile") as browser,
    ):
        opened(browser, serving.address)
        assert "6 test images" in browser.do(text("counts"))

        choose(browser, SPOT)
        browser.wait(" && ".join(map(shown, PICTURES)))
        score = f"{float(run_scores[SPOT]):.6g}"
        assert score in browser.do(text("findings"))
        assert browser.do(SAID).startswith(SPOT)

        browser.do(move("image_threshold", 0))
        browser.wait(f"{text('counts')}.includes('TN 0')")
        counts = browser.do(text("counts"))
        assert all(one in counts for one in ("TP 3", "FP 3", "FN 0"))
        before = browser.do("document.querySelector('#above img').src")
        browser.do(move("pixel_threshold", 0))
        browser.wait(f"{text('findings')}.includes('1920 pixels are at or above 0')")
        browser.wait(f"document.querySelector('#above img').src != '{before}'")

        browser.click("#overlay img", 0.7, 0.4)
        browser.wait(f"{shown('behind')} && {text('patch')}.includes('Patch at row')")
        examined = viewer.open(SPOT)
        patch = examined.patch_at(0.4 * 40, 0.7 * 48)
        assert patch is not None
        row, column = patch.position
        assert f"Patch at row {row}, column {column} of" in browser.do(text("patch"))
        assert str(patch.entries[0]) in browser.do(text("patch"))
        assert "square/train/good/" in browser.do(text("behind"))
        browser.picture(tmp_path / "page.png", width=1400, height=1400)
        with Image.open(tmp_path / "page.png") as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 100

        part = tmp_path / "a <b> part.png"
        part.write_bytes((tiny_root / SPOT).read_bytes())
        browser.hand_over("input[type=file]", part)
        browser.wait(f"{SAID}.includes('part')")
        assert score in browser.do(text("findings")), "the same bits"
        browser.wait(f"!({shown('mask')})")
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"no image")
        browser.hand_over("input[type=file]", bad)
        browser.wait(f"{SAID}.includes('bad.png cannot be read')")
        assert_clean(browser, serving.address)
    assert serving.ended == 0 and serving.errors == "" and serving.asked == []


def test_without_thresholds_and_data_it_decides_nothing_until_one_is_moved(
    run_without_thresholds, tiny_root, tmp_path
):
    alone = shutil.copytree(run_without_thresholds, tmp_path / "alone")
    record: Path = alone / "metrics.json"
    record.write_text(record.read_text().replace(str(tiny_root), "/nowhere/at/all"))
    with view(alone, tmp_path) as serving, browsing(tmp_path / "profile") as browser:
        opened(browser, serving.address)
        browser.wait(f"{SAID}.includes('not there any more (/nowhere/at/all)')")
        browser.hand_over("input[type=file]", tiny_root / SPOT)
        browser.wait(shown("overlay"))
        assert "no decision" in browser.do(text("findings"))
        assert "nothing is decided" in browser.do(text("counts"))
        browser.do(move("image_threshold", 0))
        browser.wait(f"{text('findings')}.includes('called a defect')")
        assert "pixels are" not in browser.do(text("findings"))
        browser.click("#image img")
        browser.wait(f"{SAID}.includes('no training patches')")
        assert_clean(browser, serving.address)
    assert serving.ended == 0 and serving.errors == "" and serving.asked == []
