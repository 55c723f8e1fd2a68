"""`python -m cfa_lab view` as a process of its own, watched."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = """
import ipaddress, sys
told = open(sys.argv.pop(1), "a", buffering=1)

def watch(event, values):
    if event == "socket.connect" and isinstance(values[1], tuple):
        if not ipaddress.ip_address(values[1][0]).is_loopback:
            told.write(f"{values[1]}\\n")
    elif event == "socket.getaddrinfo" and values[0] not in (None, "localhost", "127.0.0.1"):
        told.write(f"{values[0]}\\n")

sys.addaudithook(watch)
from cfa_lab.cli import main
main()
"""


@dataclass
class Serving:
    """A page that is served; what stands below `ended` is known afterwards."""

    process: "subprocess.Popen[str]"
    address: str
    files: Path
    """The folder of uploads and pictures."""
    ended: int | None = None
    said: str = ""
    errors: str = ""
    asked: list[str] = field(default_factory=list)
    """Other machines that the process wanted to reach."""

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@contextmanager
def view(
    run: Path, folder: Path, *arguments: str, ending: signal.Signals = signal.SIGTERM
) -> Generator[Serving]:
    """Serve a run's page; what the process tells goes to files in `folder`."""
    asked, errors, temporary = folder / "asked", folder / "errors", folder / "temporary"
    temporary.mkdir()
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(asked), "view", str(run), *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, errors.read_text()
            (files,) = temporary.glob("cfa_lab-view-*")
            serving = Serving(process, line.split()[0], files)
            yield serving
            process.send_signal(ending)
            serving.ended = process.wait(60)
            serving.said = line + process.stdout.read()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    serving.errors, serving.asked = errors.read_text(), asked.read_text().splitlines()
