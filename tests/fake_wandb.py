"""A stand-in for the W&B server, on this machine only: it takes runs in and shows what arrived."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

API_KEY = "0123456789" * 4
_MAX_REQUESTS = 5000


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


class FakeWandb(ThreadingHTTPServer):
    """Answers what `wandb` asks for while it logs a run; bound to the loopback address."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs: dict[str, ArrivedRun] = {}
        self.operations: Counter[str] = Counter()
        self.lock = Lock()

    def run(self, run_id: str) -> ArrivedRun:
        return self.runs.setdefault(run_id, ArrivedRun())

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """The JSON object that answers a request, after taking note of it."""
        if path == "/graphql":
            request = json.loads(body)
            found = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            name = found[1] if found else "anonymous"
            self.operations[name] += 1
            return {"data": self._graphql(name, request.get("variables") or {})}
        if stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            self._stream(self.run(stream[1]), json.loads(body))
        elif stored := re.fullmatch(r"/stored/([^/]+)/(.+)", path):
            self.run(stored[1]).files[stored[2]] = body
        return {}

    def _graphql(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        if name == "Viewer":
            return {"viewer": {"id": "v", "entity": "lab", "username": "lab", "flags": "{}"}}
        if name == "UpsertBucket":
            run = self.run(variables["name"])
            run.details |= {key: value for key, value in variables.items() if value is not None}
            run.config |= json.loads(variables["config"] or "{}")
            entity = {"id": "e", "name": "lab"}
            project = {"id": "p", "name": variables["project"], "entity": entity}
            bucket = {"id": "b", "name": variables["name"], "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if name == "CreateRunFiles":
            store = f"{self.url}/stored/{variables['run']}"
            files = [{"name": file, "uploadUrl": f"{store}/{file}"} for file in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            given = variables["input"]
            self.run(given["runName"]).artifacts.append(given["artifactCollectionName"])
            # "committed" says that the server has the content already, so none is uploaded
            artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s"}}
            return {"createArtifact": {"artifact": artifact}}
        return {"ArtifactType": {"project": None}, "RunResumeStatus": {"model": None}}.get(name, {})

    def _stream(self, run: ArrivedRun, posted: dict[str, Any]) -> None:
        files = posted.get("files", {})
        if lines := files.get("wandb-history.jsonl"):
            for number, line in enumerate(lines["content"], start=lines["offset"]):
                run.history[number] = json.loads(line)
        if lines := files.get("wandb-summary.json"):
            run.summary = json.loads(lines["content"][-1])
        if posted.get("complete"):
            run.exit_code = posted["exitcode"]


class _Handler(BaseHTTPRequestHandler):
    server: FakeWandb  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 10

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
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

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def fake_wandb() -> Iterator[FakeWandb]:
    """A server that answers until the `with` block ends."""
    with FakeWandb() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
