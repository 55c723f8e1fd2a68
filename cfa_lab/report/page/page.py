"""`report.html`: one file that opens from disk and asks nobody for anything."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from cfa_lab.files import write_atomically
from cfa_lab.metrics.names import metric_name
from cfa_lab.report.collect import Study
from cfa_lab.report.comparisons import Comparison
from cfa_lab.report.page import runs as details
from cfa_lab.report.page.by_metric import comparison
from cfa_lab.report.page.gallery import Picture
from cfa_lab.report.page.training import training

ASSETS = Path(__file__).parent / "assets"

FIRST_METRICS = ("test/image_auroc", "test/pixel_auroc", "test/aupro_30")
"""What the page opens with, if there is one of them."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser's own assurance that the page loads nothing."""


def write_page(
    path: Path,
    study: Study,
    comparisons: Sequence[Comparison],
    pictures: Sequence[Picture],
    *,
    title: str,
) -> None:
    """Write the page, whole or not at all."""
    shown = _first(study)
    compared = "".join(
        f'<div class="by-metric" data-metric="{escape(found.metric)}"'
        f"{'' if found.metric == shown else ' hidden'}>{comparison(found)}</div>"
        for found in comparisons
    )
    sections = {
        "Comparison": _picker(study, shown) + compared,
        "Training and hyperspheres": training(study),
        "Worst cases": details.gallery(pictures),
        "Runs": details.runs_table(study),
        "Not counted": details.not_counted(study),
        "Protocol and environment": details.circumstances(study),
    }
    write_atomically(path, _page(title, _summary(study), sections))


def _first(study: Study) -> str:
    return next((name for name in FIRST_METRICS if name in study.metrics), study.metrics[0])


def _picker(study: Study, shown: str) -> str:
    options = "".join(
        f'<label><input type="radio" name="metric" value="{escape(metric)}"'
        f"{' checked' * (metric == shown)}><span>{escape(metric_name(metric))}</span></label>"
        for metric in study.metrics
    )
    return f'<fieldset class="picker"><legend>Metric</legend>{options}</fieldset>'


def _summary(study: Study) -> str:
    seeds = sorted({run.seed for run in study.runs})
    numbers = [
        (len(study.runs), "run", "complete"),
        (len(study.categories), "category", ""),
        (len(study.settings), "setting", ""),
        (len(seeds), "seed", ""),
    ]
    parts = [f"{_count(number, noun)} {after}".strip() for number, noun, after in numbers]
    kinds = Counter(left.kind for left in study.left_out)
    parts += [f"{number} {kind}" for kind, number in sorted(kinds.items())]
    keys = ", ".join(f"<code>{escape(key)}</code>" for key in study.keys)
    varied = f" Varied: {keys}." if keys else " Nothing was varied but categories and seeds."
    if study.usual:
        values = " ".join(f"{key}={value}" for key, value in study.usual.items())
        varied += f" Unless a setting's name says otherwise: <code>{escape(values)}</code>."
    if study.with_category:
        others = ", ".join(f"<code>{escape(key)}</code>" for key in study.with_category)
        varied += f" Each category has a value of its own of {others}."
    return f"<p>{', '.join(parts)}.{varied}</p>"


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _page(title: str, summary: str, sections: Mapping[str, str]) -> str:
    style = (ASSETS / "report.css").read_text(encoding="utf-8")
    script = (ASSETS / "report.js").read_text(encoding="utf-8")
    anchors = {name: name.lower().replace(" ", "-") for name in sections}
    links = "".join(f'<a href="#{anchor}">{name}</a>' for name, anchor in anchors.items())
    body = "".join(
        f'<section id="{anchors[name]}"><h2>{name}</h2>{content}</section>'
        for name, content in sections.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<button type="button" id="theme" aria-live="polite">Theme: system</button>
{summary}
<nav aria-label="Sections">{links}</nav>
</header>
<main>{body}</main>
<dialog id="large" aria-label="Picture">
<button type="button">Close</button><div></div>
</dialog>
<script>{script}</script>
</body>
</html>
"""
