"""The report's sections about single runs: worst cases, records, and what is not counted."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cfa_lab.metrics.names import metric_name
from cfa_lab.report.collect import LeftOut, RecordedRun, Study
from cfa_lab.report.page.gallery import Picture
from cfa_lab.report.page.html_table import head, number_cell, setting_name, sheet
from cfa_lab.report.tables.markdown import percent

MOST_MISSING = 100


def gallery(pictures: Sequence[Picture]) -> str:
    """The pictures of worst cases, by category."""
    if not pictures:
        return "<p>No run has pictures of cases (evaluation.cases=0, or figures/ was removed).</p>"
    categories = sorted({picture.run.category for picture in pictures})
    parts = []
    for i, category in enumerate(categories):
        shown = "".join(_picture(p) for p in pictures if p.run.category == category)
        is_open = " open" if i == 0 else ""
        parts.append(
            f"<details{is_open}><summary>{escape(category)}</summary>"
            f'<div class="pictures">{shown}</div></details>'
        )
    return "".join(parts)


def _picture(picture: Picture) -> str:
    caption = (
        f"{picture.run.category}: {picture.caption}. {picture.run.setting} seed={picture.run.seed}"
    )
    width, height = picture.size
    size = f'width="{width}" height="{height}"'
    words = "" if picture.words is None else f'<img class="words" src="{picture.words}" alt="">'
    whole = "" if words else ' class="plain"'
    return (
        f'<figure><button type="button" class="enlarge"><span class="layers">{words}'
        f'<img{whole} src="{picture.uri}" {size} alt="{escape(caption)}"></span></button>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def runs_table(study: Study) -> str:
    """One row a run."""
    names = ["category", "setting", "seed", *map(metric_name, study.metrics)]
    names += ["training s", "device", "commit", "run key", "folder"]
    rows = []
    for run in study.runs:
        record, environment = run.record, run.record.get("environment", {})
        metrics = [record["metrics"].get(name) for name in study.metrics]
        intervals = [record.get("intervals", {}).get(name) for name in study.metrics]
        cells = f'<td class="name">{setting_name(run.setting)}</td>' + number_cell(run.seed, "g")
        for name, value, interval in zip(study.metrics, metrics, intervals, strict=True):
            if value is None:
                why = record.get("undefined", {}).get(name, "not measured")
                cells += f'<td class="number none" data-value="" title="{escape(why)}">none</td>'
            else:
                title = ""
                if interval:
                    bounds = f"{percent(interval[0])} to {percent(interval[1])}"
                    title = f' title="95 % over test images: {bounds}"'
                cells += f'<td class="number" data-value="{value:.6f}"{title}>{percent(value)}</td>'
        cells += number_cell(record.get("timing", {}).get("time/training_seconds"), ".1f")
        facts = (environment.get("device"), environment.get("git_commit"), record.get("run_key"))
        cells += "".join(f"<td>{escape(str(fact or ''))}</td>" for fact in (*facts, run.folder))
        rows.append(f'<tr><th scope="row">{escape(run.category)}</th>{cells}</tr>')
    return sheet(head(names, numbers=range(2, len(study.metrics) + 4)), rows, "runs")


def circumstances(study: Study) -> str:
    """Protocol and environment of every run; runs that share them stand together."""
    groups: dict[str, list[RecordedRun]] = {}
    for run in study.runs:
        facts = {
            "protocol": _without(
                run.record.get("protocol", {}), ("num_", "bank_", "left_out", "metric_bytes")
            ),
            "environment": _without(run.record.get("environment", {}), ("command",)),
        }
        groups.setdefault(json.dumps(facts, sort_keys=True), []).append(run)
    parts = []
    for text, runs in sorted(groups.items(), key=lambda item: -len(item[1])):
        lists = "".join(
            f"<h4>{part}</h4><dl>{_definitions(values)}</dl>"
            for part, values in json.loads(text).items()
        )
        members = "".join(
            f"<li>{escape(run.category)}, {escape(run.setting)}, seed {run.seed}</li>"
            for run in runs
        )
        count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
        parts.append(
            f"<details><summary>{count}</summary>{lists}"
            f"<details><summary>which</summary><ul>{members}</ul></details></details>"
        )
    return "".join(parts)


def not_counted(study: Study) -> str:
    """Failed, unfinished, unreadable and repeated runs, and gaps in the grid."""
    missing = study.missing()
    total = len(missing) + len(study.runs)
    parts = []
    if missing:
        named = "".join(
            f"<li>{escape(category)}, {escape(setting)}, seed {seed}</li>"
            for setting, category, seed in missing[:MOST_MISSING]
        )
        more = (
            f"<p>and {len(missing) - MOST_MISSING} more</p>" if len(missing) > MOST_MISSING else ""
        )
        parts.append(
            f"<details><summary>{len(missing)} of {total} runs missing from the full grid of "
            f"categories, settings and seeds</summary><ul>{named}</ul>{more}</details>"
        )
    if study.left_out:
        rows = [_left_out_row(left) for left in study.left_out]
        parts.append(sheet(head(["what", "folder", "why"]), rows, "runs left out"))
    return (
        "".join(parts) or "<p>None: every folder holds a complete run, and no run is missing.</p>"
    )


def _left_out_row(left: LeftOut) -> str:
    return (
        f'<tr><th scope="row">{left.kind}</th><td>{escape(str(left.folder))}</td>'
        f'<td class="prose">{escape(left.reason)}</td></tr>'
    )


def _without(facts: Mapping[str, Any], beginnings: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if not key.startswith(beginnings)}


def _definitions(values: Mapping[str, Any]) -> str:
    return "".join(
        f"<div><dt>{escape(key.replace('_', ' '))}</dt>"
        f"<dd>{escape(value if isinstance(value, str) else json.dumps(value))}</dd></div>"
        for key, value in values.items()
    )
