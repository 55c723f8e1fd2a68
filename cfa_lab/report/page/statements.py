"""What the report states about a metric: differences, the winner, and the paper's figures."""

import math
from html import escape

from cfa_lab.report.comparisons import Comparison
from cfa_lab.report.page.html_table import head, setting_name, sheet
from cfa_lab.report.selection import Winner, choose_winner
from cfa_lab.report.statistics import ALL_PAIRS_UP_TO, LEAST_CASES, MOST_COMPARED, Difference
from cfa_lab.report.tables import published
from cfa_lab.report.tables.markdown import percent


def statements(found: Comparison) -> str:
    """Who differs from whom, and the winner, as far as the intervals support it."""
    parts = ["<h3>Differences</h3>"]
    winner = choose_winner(found.study, found.metric, found.search)
    if winner:
        parts.append(_winner(winner, found.best))
    if not found.differences:
        return "".join([*parts, "<p>Nothing to compare: no two settings share a category.</p>"])
    num_settings = len([row for row in found.table.values() if row])
    if num_settings > ALL_PAIRS_UP_TO:
        compared = min(num_settings - 1, MOST_COMPARED)
        parts.append(
            f"<p>{compared} of {num_settings - 1} settings against the baseline "
            f"<code>{escape(found.baseline)}</code>.</p>"
        )
    together = max(d.num_comparisons for d in found.differences)
    are = "comparison of this metric is" if together == 1 else "comparisons of this metric are"
    parts.append(
        "<p>Percentage points, A minus B, over the categories both have, with Student's t interval "
        f"over the n cases: categories, or pairs of seeds if there is one category. {together} "
        f"{are} decided together: intervals are as wide as Holm's tests ask, so that in 95 of 100 "
        "studies every verdict here is right. Other metrics are decided apart: say beforehand "
        "which one counts. A verdict is <em>inconclusive</em> where the interval holds 0, or with "
        f"fewer than {LEAST_CASES} cases: too few to speak of others.</p>"
    )
    names = (
        "A",
        "B",
        "A - B",
        "verdict",
        "interval",
        "categories",
        "pairs",
        "n",
        "p",
        "p (Holm)",
    )
    rows = [_difference_row(difference) for difference in found.differences]
    numbers = {2, *range(4, len(names))}
    parts.append(sheet(head(names, numbers=numbers), rows, "differences"))
    return "".join(parts)


def _difference_row(difference: Difference) -> str:
    d = difference
    interval = "none" if math.isnan(d.low) else f"{100 * d.low:+.2f} to {100 * d.high:+.2f}"
    cells = (
        f'<th scope="row">{setting_name(d.a)}</th><td class="name">{setting_name(d.b)}</td>'
        f'<td class="number" data-value="{d.mean:.8f}">{100 * d.mean:+.2f}</td>'
        f'<td class="{d.verdict}">{"A " * (d.verdict != "inconclusive")}{d.verdict}</td>'
        f'<td class="number" data-value="{_sortable(d.low)}">{interval}</td>'
    )
    numbers = (d.num_categories, d.num_pairs, d.num_cases)
    cells += "".join(f'<td class="number" data-value="{n}">{n}</td>' for n in numbers)
    for p in (d.p, d.p_holm):
        text = "" if math.isnan(p) else f"{p:.3g}"
        cells += f'<td class="number" data-value="{_sortable(p)}">{text}</td>'
    return f"<tr>{cells}</tr>"


def _winner(winner: Winner, best: str | None) -> str:
    setting = f"<code>{escape(winner.setting)}</code>"
    chosen = f"{percent(winner.chosen_on.mean)} %"
    if winner.name.startswith("oracle/"):
        text = (
            f"Highest mean of {winner.chosen_from} settings: {setting}, "
            f"<code>{escape(winner.name)}</code> = {chosen}. Picked and measured on the same test "
            "labels, so no result: name what a search saw (<code>--search-categories</code>, "
            "<code>--search-seeds</code>) to have its winner reported on the rest."
        )
    elif winner.reported is None:
        text = f"The search chose {setting}, which has no run among those kept out of it."
    else:
        interval = ""
        if not math.isnan(winner.reported.low):
            low, high = percent(winner.reported.low), percent(winner.reported.high)
            interval = f" [{low}, {high}]"
        text = (
            f"The search chose {setting} of {winner.chosen_from} settings (there "
            f"<code>{escape(winner.name.replace('test/', 'oracle/'))}</code> = {chosen}). On what "
            f"was kept out of it: <code>{escape(winner.name)}</code> = "
            f"<strong>{percent(winner.reported.mean)} %</strong>{interval}, "
            f"{winner.reported.num_runs} runs, {winner.reported.num_categories} categories."
        )
    support = (
        f"The intervals support <strong>{escape(best)}</strong> over every other setting."
        if best
        else "The intervals support no setting over every other one; none is marked best."
    )
    return f"<p>{text}</p><p>{support}</p>"


def beside_the_paper(found: Comparison) -> str:
    """Published figures beside ours, where a setting matches; empty without such."""
    if found.metric not in published.METRICS:
        return ""
    column = published.METRICS.index(found.metric)
    rows = []
    for setting, row in found.table.items():
        for category, ours in row.items():
            run = next(
                (r for r in found.study.runs if (r.setting, r.category) == (setting, category)),
                None,
            )
            which = run and published.published_for(run.config)
            theirs = published.FIGURES[which].get(run.config["category"]) if run and which else None
            if theirs:
                oracle = [
                    value
                    for r in found.study.runs
                    if (r.setting, r.category) == (setting, category)
                    and (value := r.record.get("oracle", {}).get(_best_name(found.metric)))
                    is not None
                ]
                best = percent(sum(oracle) / len(oracle)) if oracle else ""
                rows.append(
                    f'<tr><th scope="row">{escape(category)}</th><td>{escape(setting)}</td>'
                    f'<td class="number" data-value="{ours.mean:.6f}">{percent(ours.mean)}</td>'
                    f'<td class="number">{best}</td>'
                    f'<td class="number">{theirs[column]:.1f}</td></tr>'
                )
    if not rows:
        return ""
    names = (
        "category",
        "setting",
        "ours, last epoch",
        f"ours, {_best_name(found.metric)}",
        f"published, {published.LABEL}",
    )
    return (
        "<h3>Beside the paper</h3><p>Percent. The published figures are those of the epoch that "
        "was best on the test set, each metric with its own; ours are of the last epoch. Only the "
        "<code>oracle/</code> column is like them.</p>"
        + sheet(head(names, numbers={2, 3, 4}), rows, "published figures")
    )


def _best_name(metric: str) -> str:
    return metric.replace("test/", "oracle/best_")


def _sortable(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.8g}"
