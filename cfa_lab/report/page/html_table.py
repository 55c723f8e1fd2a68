"""Tables of the report page, which its script sorts and filters."""

import math
import re
from collections.abc import Container, Sequence
from html import escape

FILTERED_ABOVE = 8
"""Rows above which a table gets a filter."""


def head(names: Sequence[str], *, numbers: Container[int] = ()) -> str:
    """Head cells with a button that sorts by the column; those in `numbers` right-aligned."""
    return "".join(
        f'<th scope="col"{" class=number" * (i in numbers)}>'
        f'<button type="button" class="sort">{escape(name)}</button></th>'
        for i, name in enumerate(names)
    )


def sheet(head_cells: str, rows: Sequence[str], what: str, *, css: str = "") -> str:
    """A table of `<tr>` rows; cells sort by their `data-value`, else by their text."""
    search = ""
    if len(rows) > FILTERED_ABOVE:
        search = (
            f'<label class="filter">Filter {escape(what)} '
            '<input type="search" autocomplete="off"></label><output class="count"></output>'
        )
    return (
        f'<div class="sheet">{search}<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(what)}"><table class="{css}"><thead><tr>{head_cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def setting_name(setting: str) -> str:
    """A setting's name as HTML that breaks between its parts, and within one where it has to."""
    parts = (re.sub(r"(=|\.(?=[a-z]))", r"\1<wbr>", escape(part)) for part in setting.split(" "))
    return " ".join(f'<span class="part">{part}</span>' for part in parts)


def number_cell(value: float | None, form: str) -> str:
    """A cell of a number in a format; `none` where there is none."""
    if value is None or not math.isfinite(value):
        return '<td class="number none" data-value="">none</td>'
    return f'<td class="number" data-value="{value:.8g}">{value:{form}}</td>'
