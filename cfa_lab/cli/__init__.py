"""The command line: `python -m cfa_lab key=value ...` is a run, `python -m cfa_lab word ...` more.

The only room that sees Hydra's configuration objects. Imports torch only once a job really starts.
"""

from cfa_lab.cli.command import compose, main
from cfa_lab.cli.schema import to_config

__all__ = ["compose", "main", "to_config"]
