"""The page in a real browser: nothing on the console, tables sort and filter, pictures show."""

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from helpers.synthetic import write_run, write_study

from cfa_lab.report import command as report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium; apt-get install chromium"),
]

PROBE = """
<pre id="probe"></pre>
<script>
window.addEventListener("load", () => {
  const found = [];
  const check = (name, fact) => found.push(`${name}: ${Boolean(fact)}`);
  const sheet = [...document.querySelectorAll(".sheet")]
    .find((s) => s.querySelector("[aria-label=runs]"));
  const rows = () => [...sheet.querySelectorAll("tbody tr")];
  const button = [...sheet.querySelectorAll(".sort")].find((b) => b.textContent == "image AUROC");
  const column = button.closest("th").cellIndex;
  const values = () => rows().map((row) => row.cells[column].dataset.value).filter((v) => v);
  const sorted = (sign) => values().every((v, i, all) => !i || sign * (v - all[i - 1]) >= 0);

  check("no value goes last", (button.click(), rows().at(-1).cells[column].dataset.value === ""));
  check("first click sorts down", sorted(-1));
  check("head says so", button.closest("th").getAttribute("aria-sort") == "descending");
  check("second click sorts up", (button.click(), sorted(1)));
  check("still last", rows().at(-1).cells[column].dataset.value === "");
  const text = sheet.querySelector(".sort");
  const names = () => rows().map((row) => row.cells[0].textContent);
  check("text sorts", (text.click(), names().join() == names().sort().join()));

  const input = sheet.querySelector("input");
  input.value = "CATEGORY1 loss.K=3";
  input.dispatchEvent(new Event("input"));
  const left = rows().filter((row) => row.offsetParent);
  check("filter leaves what fits", left.length == 4 && left.every((row) =>
    row.cells[0].textContent == "category1" && row.cells[1].textContent == "loss.K=3"));
  check("filter counts", sheet.querySelector(".count").textContent.startsWith("4 of "));

  const shown = () => [...document.querySelectorAll(".by-metric")].filter((p) => !p.hidden);
  document.querySelector('input[value="test/pixel_auroc"]').click();
  check("one metric is shown", shown().length == 1 &&
    shown()[0].dataset.metric == "test/pixel_auroc");

  for (const part of document.querySelectorAll("details")) part.open = true;
  const images = [...document.querySelectorAll(".pictures img")];
  check("pictures show", images.length && images.every((i) => i.complete && i.naturalWidth > 0));
  check("charts have lines", document.querySelectorAll(".chart polyline").length > 8);
  document.querySelector(".enlarge").click();
  const dialog = document.querySelector("dialog");
  check("a picture opens large", dialog.open && dialog.contains(document.activeElement));
  dialog.querySelector("button").click();
  check("and closes", !dialog.open);

  const ground = () => getComputedStyle(document.body).backgroundColor;
  const theme = document.getElementById("theme");
  const light = (theme.click(), ground());
  check("dark differs from light", (theme.click(), ground() != light));
  check("no request", performance.getEntriesByType("resource")
    .every((entry) => entry.name.startsWith("data:")));
  check("as wide as the window", document.documentElement.scrollWidth <= window.innerWidth);
  document.getElementById("probe").textContent = found.join("\\n");
});
</script>
"""


def browse(page: Path, profile: Path, *, width: int = 1280) -> tuple[str, str]:
    """The document after all scripts ran, and what the browser said."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={profile}", f"--window-size={width},900", "--dump-dom"),
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    write_study(folder / "runs", pictures=True)
    write_run(folder / "runs" / "none", category="category1", seed=9, value=None)
    report.main([str(folder / "runs"), "--output", str(folder)])
    return folder / "report.html"


def test_the_page_works_and_the_console_is_silent(page: Path, tmp_path: Path):
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    document, said = browse(probed, tmp_path)
    assert "CONSOLE" not in said, said
    (text,) = re.findall(r'<pre id="probe">(.*?)</pre>', document, re.DOTALL)
    checks = dict(line.split(": ") for line in unescape(text).splitlines())
    assert len(checks) == 16, text
    assert set(checks.values()) == {"true"}, text


def test_a_broken_script_would_be_noticed(page: Path, tmp_path: Path):
    """That the console's silence means something."""
    broken = page.with_name("broken.html")
    broken.write_text(page.read_text().replace("</body>", "<script>nothing()</script></body>"))
    assert "CONSOLE" in browse(broken, tmp_path)[1]


def test_nothing_sticks_out_on_a_phone(page: Path, tmp_path: Path):
    """The page in a frame of 380 pixels, which no window of this browser can be."""
    inner = page.with_name("inner.html")
    script = (
        "<script>addEventListener('load', () => {"
        "for (const part of document.querySelectorAll('details')) part.open = true;"
        "const narrow = [...document.querySelectorAll('th, td')].filter("
        "(cell) => cell.offsetWidth && cell.scrollWidth > cell.clientWidth + 1).length;"
        "const root = document.documentElement;"
        "parent.postMessage([root.scrollWidth, innerWidth, narrow], '*');"
        "});</script></body>"
    )
    inner.write_text(page.read_text().replace("</body>", script))
    outer = page.with_name("outer.html")
    outer.write_text(
        "<!doctype html><pre></pre><script>addEventListener('message', (event) => {"
        "document.querySelector('pre').textContent = event.data.join(' of ');});</script>"
        "<iframe src='inner.html' style='width: 380px; height: 800px; border: 0'></iframe>"
    )
    document, said = browse(outer, tmp_path)
    assert "CONSOLE" not in said, said
    (text,) = re.findall(r"<pre>(\d+ of \d+ of \d+)</pre>", document)
    needed, there, cut = map(int, text.split(" of "))
    assert needed <= there <= 380
    assert cut == 0, "cells whose text lies on the next one"
