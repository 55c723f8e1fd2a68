"""What stands before the page: answers this machine's own browser, and only what the page needs.

A server on 127.0.0.1 is reached by every page that the same browser has open. One from elsewhere
may send requests here (`Origin`, `Sec-Fetch-Site`), or have its name point here and then read the
answers, too (DNS rebinding: `Host`).
"""

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

READ = {"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}
"""What the page asks for; of all else that Gradio would answer nothing is."""
READ_BELOW = ("/assets/", "/static/", "/gradio_api/heartbeat/")
API = "/gradio_api"
READ_API = {f"{API}/{name}" for name in ("queue/data", "upload_progress", "startup-events")}
FILE = f"{API}/file="
UPLOAD = f"{API}/upload"
CALLS = {f"{API}/queue/join", f"{API}/cancel", f"{API}/reset"}
PICTURES = (".png", ".webp")
"""Suffixes of the files that the page shows."""
MAX_CALL = 256 * 1024
"""Bytes that a call may hold, and a request beside the file it uploads."""

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""With every answer: the browser itself asks no other host for anything."""


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    reason: str


class Guard:
    """ASGI application before another one; `files` is the folder of uploads and pictures."""

    def __init__(self, app: App, *, port: int, files: Path, max_upload: int):
        self._app, self._files, self._max_upload = app, files.resolve(), max_upload
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        if refusal is None and scope["path"] in CALLS:
            body = await _whole(receive, MAX_CALL)
            if body is None:
                refusal = Refusal(413, "too long")
            elif not self._names_only_ours(body):
                refusal = Refusal(403, "it names a file that was not uploaded here")
            else:
                receive = _again(body, receive)
        if refusal is not None:
            await _refuse(send, refusal)
            return
        await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Message) -> Refusal | None:
        values = _headers(scope)
        if [host.lower() for host in values.get("host", [])] not in [[h] for h in self._hosts]:
            return Refusal(403, f"this page answers as {' or '.join(sorted(self._hosts))} only")
        origins = {f"http://{host}" for host in self._hosts}
        method, path = scope["method"], scope["path"]
        foreign = any(origin.lower() not in origins for origin in values.get("origin", []))
        sites = values.get("sec-fetch-site", [])
        if any(site not in ("same-origin", "none") for site in sites):
            foreign |= not (method == "GET" and path == "/" and _is_opened(values))
        if foreign:
            return Refusal(403, "requests from other pages are not answered")
        if ".." in path.split("/"):
            return Refusal(404, "nothing is here")
        if method in ("GET", "HEAD"):
            return self._refusal_to_read(path)
        if method != "POST" or path not in (UPLOAD, *CALLS):
            return Refusal(404, "nothing is here")
        return self._refusal_of_upload(values) if path == UPLOAD else None

    def _refusal_to_read(self, path: str) -> Refusal | None:
        if path.startswith(FILE):
            name = path.removeprefix(FILE)
            ours = self._is_ours(name) and name.lower().endswith(PICTURES)
            return None if ours else Refusal(403, "only pictures that the page made are shown")
        known = path in READ | READ_API or path.startswith(READ_BELOW)
        return None if known else Refusal(404, "nothing is here")

    def _refusal_of_upload(self, values: dict[str, list[str]]) -> Refusal | None:
        length = values.get("content-length", [""])[0]
        if not length.isdecimal():
            return Refusal(411, "say how long the file is")
        if int(length) > self._max_upload + MAX_CALL:
            return Refusal(413, f"a file may have {self._max_upload // 2**20} MiB")
        return None

    def _is_ours(self, name: str) -> bool:
        """Whether a name is that of a file in our folder, links followed."""
        try:
            return Path(name).is_absolute() and Path(name).resolve().is_relative_to(self._files)
        except (OSError, ValueError):
            return False

    def _names_only_ours(self, body: bytes) -> bool:
        """Whether every file in a call lies in our folder: Gradio would also fetch addresses."""
        try:
            return all(self._is_ours(str(path)) for path in _paths(json.loads(body or b"null")))
        except (ValueError, RecursionError):
            return False


def _paths(value: Any) -> Iterator[Any]:
    """The values of all keys "path" at any depth."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "path" and part is not None:
                yield part
            yield from _paths(part)
    elif isinstance(value, list):
        for part in value:
            yield from _paths(part)


def _headers(scope: Message) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return values


def _is_opened(values: dict[str, list[str]]) -> bool:
    """Whether somebody follows a link to the page, as from a terminal in the browser."""
    kind = [values.get(f"sec-fetch-{name}") for name in ("mode", "dest")]
    return kind == [["navigate"], ["document"]]


async def _whole(receive: Receive, most: int) -> bytes | None:
    """A request's body; None where it is longer, or its sender has gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """What hands out a body that was read already, and then whatever comes."""
    waiting = [body]

    async def give() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return give


def _with_headers(send: Send) -> Send:
    added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [one for one in message.get("headers", ()) if not _is_cors(one[0])]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return sent


def _is_cors(name: bytes) -> bool:
    """Whether a header lets other pages read an answer."""
    return name.lower().startswith(b"access-control-")


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = f"{refusal.reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
