"""What runs on a node: one call, whose end is left as a file."""

import os
import platform
import signal
import sys
from pathlib import Path

from cfa_lab.files import replacing
from cfa_lab.launch.slurm.batch import BEGUN, CALL, END, Array
from cfa_lab.launch.task import perform


def main(folder: str) -> None:
    """Make the call of this job of an array, unless it was made before."""
    array, index = Array(Path(folder)), int(os.environ["SLURM_ARRAY_TASK_ID"])
    if array.end(index) is not None:
        return  # requeued between its end and Slurm's hearing of it
    array.file(index, BEGUN).write_text(f"{platform.node()} {os.getpid()}\n", encoding="utf-8")
    try:
        end = perform(array.file(index, CALL).read_bytes())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)
    with replacing(array.file(index, END)) as partial:
        partial.write_bytes(end)
