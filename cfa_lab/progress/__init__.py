"""How far work has come: one live line on a terminal, a plain line now and then elsewhere.

Whoever works names a `phase` and counts; nothing is shown unless somebody opened `show_progress`,
as the command line does. Nothing here looks at what is computed, so no bit depends on it.
"""

from cfa_lab.progress.measured import Phase, duration, rate
from cfa_lab.progress.shown import (
    ConsoleHandler,
    begin_phase,
    each,
    end_phase,
    phase,
    print_line,
    show_progress,
)

__all__ = [
    "ConsoleHandler",
    "Phase",
    "begin_phase",
    "duration",
    "each",
    "end_phase",
    "phase",
    "print_line",
    "rate",
    "show_progress",
]
