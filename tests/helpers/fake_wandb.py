"""A stand-in for the W&B server, on this machine only: it takes runs in and shows what arrived."""

import json
import re
import struct
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from socket import SO_LINGER, SOL_SOCKET
from threading import Lock, Thread, Timer
from typing import Any

import yaml

API_KEY = "0123456789" * 4
_MAX_REQUESTS = 5000
_MAX_SECONDS = 300.0
_MAX_HANG = 60.0


@dataclass
class ArrivedRun:
    """What the server knows of one run."""

    config: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)  # the variables of the last upsert
    history: dict[int, dict[str, Any]] = field(default_factory=dict)  # by line number
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    exit_code: int | None = None


@dataclass
class Sweep:
    """A sweep and the settings it has yet to hand out: all combinations of values, by any method.

    Of a range only the lower end is taken.
    """

    config: dict[str, Any]
    waiting: list[dict[str, Any]]
    run_ids: list[str] = field(default_factory=list)

    def next_commands(self) -> list[dict[str, Any]]:
        """What an idle agent is told: the next run, or to go home."""
        if not self.waiting:
            return [{"type": "exit"}]
        self.run_ids.append(f"swept{len(self.run_ids)}")
        arguments = {key: {"value": value} for key, value in self.waiting.pop(0).items()}
        run = {"type": "run", "run_id": self.run_ids[-1], "args": arguments, "program": None}
        return [run]


class FakeWandb(ThreadingHTTPServer):
    """Answers what `wandb` asks for; bound to the loopback address, in requests and in time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs: dict[str, ArrivedRun] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.views: list[dict[str, Any]] = []
        self.stored: dict[str, bytes] = {}  # files of artifacts, by name
        self.operations: Counter[str] = Counter()
        self.lock = Lock()
        self.fault = ""
        """How it fails from now on: a status such as `500`, `hang`, `close`, `reset` or `junk`."""

    def run(self, run_id: str) -> ArrivedRun:
        return self.runs.setdefault(run_id, ArrivedRun())

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """The JSON object that answers a request, after taking note of it."""
        if path == "/graphql":
            request = json.loads(body)
            found = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            name = found[1] if found else "anonymous"
            self.operations[name] += 1
            answer = _ANSWERS.get(name)
            return {"data": answer(self, request.get("variables") or {}) if answer else {}}
        if stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            self._stream(self.run(stream[1]), json.loads(body))
        elif stored := re.fullmatch(r"/stored/([^/]+)/(.+)", path):
            self.run(stored[1]).files[stored[2]] = body
        elif stored := re.fullmatch(r"/artifacts/(.+)", path):
            self.stored[stored[1]] = body
        return {}

    def _stream(self, run: ArrivedRun, posted: dict[str, Any]) -> None:
        files = posted.get("files", {})
        if lines := files.get("wandb-history.jsonl"):
            for number, line in enumerate(lines["content"], start=lines["offset"]):
                run.history[number] = json.loads(line)
        if lines := files.get("wandb-summary.json"):
            run.summary = json.loads(lines["content"][-1])
        if posted.get("complete"):
            run.exit_code = posted["exitcode"]


def _viewer(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    return {"viewer": {"id": "v", "entity": "lab", "username": "lab", "flags": "{}"}}


def _project(name: str) -> dict[str, Any]:
    return {"id": "p", "name": name, "entity": {"id": "e", "name": "lab"}}


def _upsert_run(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    run = server.run(given["name"])
    run.details |= {key: value for key, value in given.items() if value is not None}
    run.config |= json.loads(given["config"] or "{}")
    project = _project(given["project"])
    bucket = {"id": "b", "name": given["name"], "config": "{}", "project": project}
    return {"upsertBucket": {"bucket": bucket, "inserted": True}}


def _create_files(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    store = f"{server.url}/stored/{given['run']}"
    files = [{"name": file, "uploadUrl": f"{store}/{file}"} for file in given["files"]]
    return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}


def _create_artifact(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    about = given["input"]
    server.run(about["runName"]).artifacts.append(about["artifactCollectionName"])
    # "committed" says that the server has the content already, so none is uploaded
    state = "PENDING" if about["artifactTypeName"] == "model" else "COMMITTED"
    return {
        "createArtifact": {"artifact": {"id": "a", "state": state, "artifactSequence": {"id": "s"}}}
    }


def _create_manifest(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    file = {"id": "f", "uploadUrl": f"{server.url}/artifacts/manifest", "uploadHeaders": []}
    return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}


def _create_artifact_files(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    nodes = [
        {
            "id": "f",
            "name": file["name"],
            "displayName": file["name"],
            "uploadUrl": f"{server.url}/artifacts/{file['name']}",
            "uploadHeaders": [],
            "storagePath": file["name"],
            "artifact": {"id": "a"},
        }
        for spec in given.values()
        if isinstance(spec, dict)
        for file in spec.get("artifactFiles", [])
    ]
    return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}


def _commit(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}


def _upsert_sweep(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    config = yaml.safe_load(given["config"])
    parameters = config["parameters"].items()
    listed = {key: entry.get("values") or [entry["min"]] for key, entry in parameters}
    combinations = [dict(zip(listed, values, strict=True)) for values in product(*listed.values())]
    name = f"sweep{len(server.sweeps)}"
    server.sweeps[name] = Sweep(config, combinations)
    sweep = {"name": name, "project": _project(given["projectName"])}
    return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}


def _sweep(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    config = yaml.safe_dump(server.sweeps[given["sweep"]].config)
    runs = {"edges": []}
    return {"project": {"sweep": {"id": "s", "state": "RUNNING", "config": config, "runs": runs}}}


def _create_agent(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    return {"createAgent": {"agent": {"id": given["sweep"]}}}


def _heartbeat(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    busy = json.loads(given["runState"])
    commands = [] if busy else server.sweeps[given["id"]].next_commands()
    return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}}


def _upsert_view(server: FakeWandb, given: dict[str, Any]) -> dict[str, Any]:
    server.views.append(given)
    return {"upsertView": {"view": {"id": "v", "name": given["name"]}, "inserted": True}}


_ANSWERS: dict[str, Callable[[FakeWandb, dict[str, Any]], dict[str, Any]]] = {
    "Viewer": _viewer,
    "UpsertBucket": _upsert_run,
    "CreateRunFiles": _create_files,
    "CreateArtifact": _create_artifact,
    "CreateArtifactManifest": _create_manifest,
    "CreateArtifactFiles": _create_artifact_files,
    "CommitArtifact": _commit,
    "ArtifactType": lambda server, given: {"project": None},
    "RunResumeStatus": lambda server, given: {"model": None},
    "UpsertSweep": _upsert_sweep,
    "SweepWithRuns": _sweep,
    "CreateAgent": _create_agent,
    "Heartbeat": _heartbeat,
    "UpsertView2": _upsert_view,
}
"""Name of a GraphQL operation -> what answers it; others get an empty object."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeWandb  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 10

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.fault:
            return self._fail(self.server.fault)
        with self.server.lock:
            self.server.operations["requests"] += 1
            if self.server.operations["requests"] > _MAX_REQUESTS:
                return self.send_error(429)
            answer = json.dumps(self.server.answer(self.path, body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST

    def _fail(self, fault: str) -> None:
        self.close_connection = True
        if fault == "hang":
            time.sleep(_MAX_HANG)
        elif fault == "reset":  # without the usual farewell
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault == "junk":
            self.wfile.write(b"\x00\xffno answer at all\r\n\r\n")
        elif fault.isdecimal():
            self.send_error(int(fault))

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def fake_wandb() -> Generator[FakeWandb]:
    """A server that answers until the `with` block ends, and never longer than five minutes."""
    with FakeWandb() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        limit = Timer(_MAX_SECONDS, server.shutdown)
        limit.start()
        try:
            yield server
        finally:
            limit.cancel()
            server.shutdown()
            thread.join()
