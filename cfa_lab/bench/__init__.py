"""Measured comparisons, run by `python -m cfa_lab bench <name>`."""

import importlib

from cfa_lab.errors import UserError

BENCHES = (
    "decode",
    *("files", "fit", "gpu", "intervals", "launch", "many", "metrics"),
    *("predict", "run", "sweep", "train", "verdicts"),
)
"""Each a module of this package with `main(arguments)`."""


def main(arguments: list[str]) -> None:
    """Run the comparison named first; raises UserError for an unknown one."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: python -m cfa_lab bench {{{','.join(BENCHES)}}} ...\n\n{__doc__}")
        print("Each knows --help, and says what it measures beside what, in one run.")
        return
    if not arguments or arguments[0] not in BENCHES:
        given = repr(arguments[0]) if arguments else "nothing"
        raise UserError(f"bench got {given}; allowed: {', '.join(BENCHES)} (each knows --help)")
    importlib.import_module(f"cfa_lab.bench.{arguments[0]}").main(arguments[1:])
