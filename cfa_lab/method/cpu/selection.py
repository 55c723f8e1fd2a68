"""The nearest entries of each patch, from half squared distances that are nearly right, compiled.

A proposed value v is off from the true half squared distance t by at most e. Of every row:

    values       0 ------------------ kth ------------ bound ------------------------>
                 |       first         |     others      |     never looked at again

    bound_of_row   Entries are dealt out to lanes (entry i to lane i mod LANES). The k-th smallest
                   lane minimum is `kth`: k entries have v <= kth, so t <= kth + e. Hence so have
                   the k nearest, and their v are at most kth + 2 e, the `bound`.
    shortlist      Only lanes whose minimum is within the bound are read again, and of these only
                   parts: each lane has PARTS minima. Most rows are left with little more than k
                   entries: `first`, those up to kth, and `others`.
    decide         Distances of the first are computed in full. The k-th smallest of them, the
                   `limit`, is no less than that of the k nearest, so it rules out others with
                   2 (v - e) > limit; it sinks with each entry that takes a place.

bf16 values are compared by their bits as integers, whose order is that of numbers from 0 on;
negative ones (errors of a distance near 0) come before all others.
"""

from typing import Any, NamedTuple

import numpy as np

from cfa_lab.method.cpu.compiled import compiled, inlined, narrow_up, widen

LANES = 64
"""Groups whose minima bound the k-th smallest value."""

PARTS = 8
"""Parts of each lane, with minima of their own, so that little is read again."""

STRIDE = LANES * PARTS
"""Entry i is in part i mod STRIDE, which belongs to lane i mod LANES."""


class Proposals(NamedTuple):
    """Half squared distances of some patches (q) to all entries (m), nearly."""

    values: Any
    """(q, m), its columns in the order of `Rules.order`; float, or bf16 by its bits."""
    errors: Any
    """(q, 2): a bound on what a row's values are off by, and by how much an entry's is lower: this
    second number times `Rules.spared`."""


class Margins(NamedTuple):
    """What rounding may do, as numbers of the distances' type."""

    value: Any
    """By what part of itself a value may be off, besides its error."""
    distance: Any
    """1 and by what part of itself a distance may be."""
    none: Any
    """The largest value there is, in the values' type."""


class Rules(NamedTuple):
    """What selecting needs to know of a memory bank (m, d) and the values proposed of it."""

    entries: Any
    """(m, d), as the patches are: shifted by the bank's mean or not."""
    order: Any
    """(m,): the entry of each column."""
    spared: Any
    """(m,), by column."""
    margins: Margins


class Found(NamedTuple):
    """The k nearest entries of some patches, nearest first."""

    indices: Any
    """(q, k)."""
    squared: Any
    """(q, k): squared distances."""


class Minima(NamedTuple):
    """The smallest values of a row, in memory that all rows share."""

    parts: Any
    """(STRIDE,): of each part."""
    lanes: Any
    """(LANES,): of each lane."""
    smallest: Any
    """(k,): of all lanes, ascending."""


@compiled
def select_rows(phi, proposals: Proposals, rules: Rules, found: Found):
    """Fill in the nearest entries of each patch (q, d); equal distances go to the lower index."""
    values, errors, margins = proposals.values, proposals.errors, rules.margins
    indices, squared = found.indices, found.squared
    num_rows, num_entries = values.shape
    minima = Minima(
        np.empty(STRIDE, values.dtype),
        np.empty(LANES, values.dtype),
        np.empty(indices.shape[1], values.dtype),
    )
    first, others = np.empty((2, num_entries), np.int64)
    for row in range(num_rows):
        own, (error, beyond) = values[row], errors[row]
        if not np.isfinite(error):
            indices[row] = 0
            squared[row] = np.nan
            continue
        kth, bound = bound_of_row(own, error, margins, minima)
        counts = shortlist(own, kth, bound, minima, first, others)
        decide(
            phi[row], own, error, beyond, rules, first, others, counts, indices[row], squared[row]
        )


@inlined
def bound_of_row(values, error, margins: Margins, minima: Minima):
    """The k-th smallest lane minimum, and what no value of the k nearest exceeds."""
    parts, lanes, smallest = minima.parts, minima.lanes, minima.smallest
    none = margins.none
    k, num_entries = smallest.shape[0], values.shape[0]
    whole = num_entries - num_entries % STRIDE
    parts[:] = none
    for start in range(0, whole, STRIDE):
        for part in range(STRIDE):
            value = values[start + part]
            parts[part] = value if value < parts[part] else parts[part]
    for part in range(num_entries - whole):
        value = values[whole + part]
        parts[part] = value if value < parts[part] else parts[part]
    for lane in range(LANES):
        lanes[lane] = parts[lane]
    for start in range(LANES, STRIDE, LANES):
        for lane in range(LANES):
            value = parts[start + lane]
            lanes[lane] = value if value < lanes[lane] else lanes[lane]
    smallest[:] = none
    for lane in range(LANES):
        value = lanes[lane]
        if value < smallest[k - 1]:
            place = k - 1
            while place > 0 and smallest[place - 1] > value:
                smallest[place] = smallest[place - 1]
                place -= 1
            smallest[place] = value
    kth = smallest[k - 1]
    bound = none
    if kth < none:
        value = widen(kth) if kth > 0 else 0 * error
        reach = (value * (1 + margins.value) + 2 * error) * margins.distance
        bound = narrow_up(reach * (1 + 2 * margins.value), none)
    return kth, bound


@inlined
def shortlist(values, kth, bound, minima: Minima, first, others):
    """Fill in the columns of values up to kth, and of others within the bound; how many of each."""
    parts, lanes = minima.parts, minima.lanes
    num_within = 0
    for lane in range(LANES):
        if lanes[lane] <= bound:
            for part in range(lane, STRIDE, LANES):
                if parts[part] <= bound:
                    for column in range(part, values.shape[0], STRIDE):
                        others[num_within] = column
                        num_within += values[column] <= bound
    num_first, num_others = 0, 0
    for i in range(num_within):  # no branches: columns that do not belong are overwritten
        column = others[i]
        first[num_first] = column
        others[num_others] = column
        num_first += values[column] <= kth
        num_others += values[column] > kth
    return num_first, num_others


@inlined
def decide(query, values, error, beyond, rules: Rules, first, others, counts, indices, squared):
    """Fill in the nearest (k,) among the columns of a shortlist, by their distances in full."""
    entries, order, spared = rules.entries, rules.order, rules.spared
    rounding, margin = rules.margins.value, rules.margins.distance
    num_first, num_others = counts
    k = indices.shape[0]
    indices[:] = 0
    squared[:] = np.nan
    num_found = 0
    for i in range(num_first):
        entry = order[first[i]]
        distance = _distance(query, entries, entry)
        num_found = _insert(indices, squared, num_found, entry, distance)
    limit = squared[k - 1] * margin
    for i in range(num_others):
        column = others[i]
        value = widen(values[column])
        own_error = error - beyond * spared[column]
        if not 2 * (value - rounding * abs(value) - own_error) > limit:
            entry = order[column]
            distance = _distance(query, entries, entry)
            num_found = _insert(indices, squared, num_found, entry, distance)
            limit = squared[k - 1] * margin


@compiled
def _distance(query, entries, entry):
    distance = query.dtype.type(0)
    for j in range(query.shape[0]):
        difference = query[j] - entries[entry, j]
        distance += difference * difference
    return distance


@compiled
def _insert(indices, squared, num_found, entry, distance):
    """Put an entry in its place among the k nearest so far; returns how many there are now."""
    k = indices.shape[0]
    place = num_found
    while place > 0 and (
        distance < squared[place - 1]
        or (distance == squared[place - 1] and entry < indices[place - 1])
    ):
        place -= 1
    if place >= k:
        return num_found
    num_found = min(num_found + 1, k)
    for later in range(num_found - 1, place, -1):
        squared[later] = squared[later - 1]
        indices[later] = indices[later - 1]
    squared[place] = distance
    indices[place] = entry
    return num_found
