"""The guard by itself, in front of an application that answers everything."""

import asyncio
import json

import pytest

from cfa_lab.deploy.view.guard import API, MAX_CALL, Guard

PORT = 7865
HOST = f"127.0.0.1:{PORT}"
MAX_UPLOAD = 1000


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"1")
    (tmp_path / "secret.png").write_bytes(b"2")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


@pytest.fixture
def ask(files):
    """A function from a request to the status and the headers of its answer."""

    async def answer(scope, receive, send):
        body = b""
        if scope["method"] == "POST":
            body = (await receive())["body"]
        headers = [(b"access-control-allow-origin", b"*"), (b"x-body", body[:20])]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"yes"})

    guard = Guard(answer, port=PORT, files=files, max_upload=MAX_UPLOAD)

    def request(path="/", method="GET", body=b"", headers=(), host: str | None = HOST):
        given = [] if host is None else [(b"host", host.encode())]
        given += [(name.lower().encode(), value.encode()) for name, value in headers]
        scope = {"type": "http", "method": method, "path": path, "headers": given}
        sent: list = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(guard(scope, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"])

    return request


def test_the_page_is_answered_and_may_ask_no_other_host(ask):
    for host in (HOST, f"localhost:{PORT}", f"LOCALHOST:{PORT}"):
        status, headers = ask(host=host)
        assert status == 200
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
        assert headers[b"cross-origin-resource-policy"] == b"same-origin"
        assert b"access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        f"127.0.0.1:{PORT + 1}",
        f"127.0.0.1.evil.example:{PORT}",
        f"127.0.0.1:{PORT}@evil.example",
        f"0.0.0.0:{PORT}",
        f"[::1]:{PORT}",
    ],
)
def test_other_hosts_names_are_refused(ask, host):
    assert ask(host=host)[0] == 403


def test_two_host_headers_are_refused(ask):
    assert ask(headers=[("host", HOST)])[0] == 403


@pytest.mark.parametrize("path", ["/", f"{API}/queue/join", f"{API}/upload"])
@pytest.mark.parametrize(
    "header",
    [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", f"http://127.0.0.1:{PORT + 1}"),
        ("origin", f"https://{HOST}"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ],
)
def test_requests_from_other_pages_are_refused(ask, path, header):
    method = "GET" if path == "/" else "POST"
    assert ask(path, method, b"{}", [header, ("content-length", "2")])[0] == 403


def test_the_pages_own_requests_are_answered(ask):
    own = [("origin", f"http://{HOST}"), ("sec-fetch-site", "same-origin")]
    assert ask(f"{API}/queue/join", "POST", b'{"data": [1]}', own)[0] == 200
    assert ask(f"{API}/upload", "POST", b"1", [*own, ("content-length", "1")])[0] == 200
    assert ask("/", headers=[("sec-fetch-site", "none")])[0] == 200


def test_a_link_to_the_page_may_be_followed_but_nothing_of_it_be_taken(ask):
    link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]
    followed = [*link, ("sec-fetch-dest", "document")]
    assert ask("/", headers=followed)[0] == 200
    assert ask("/", headers=[*link, ("sec-fetch-dest", "iframe")])[0] == 403
    assert ask("/", headers=[*followed, ("origin", "http://evil.example")])[0] == 403
    assert ask("/", host="evil.example", headers=followed)[0] == 403
    assert ask("/config", headers=followed)[0] == 403
    assert ask(f"{API}/queue/join", "POST", b"{}", followed)[0] == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", f"{API}/info"),
        ("GET", f"{API}/proxy=http://169.254.169.254/"),
        ("GET", f"{API}/file/etc/passwd"),
        ("GET", f"{API}/deep_link"),
        ("GET", f"{API}/queue/join"),
        ("GET", "/monitoring"),
        ("GET", "/assets/../../etc/passwd"),
        ("POST", "/"),
        ("POST", "/login"),
        ("POST", f"{API}/api/0"),
        ("POST", f"{API}/run/0"),
        ("POST", f"{API}/call/0"),
        ("POST", f"{API}/component_server"),
        ("POST", f"{API}/vibe-edit"),
        ("PUT", f"{API}/upload"),
        ("OPTIONS", f"{API}/upload"),
        ("DELETE", "/"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(ask, method, path):
    assert ask(path, method)[0] == 404


def test_only_pictures_of_its_own_folder_are_shown(ask, files):
    assert ask(f"{API}/file={files}/a.png")[0] == 200
    for name in (
        "/etc/passwd",
        f"{files}/../secret.png",
        f"{files.parent}/secret.png",
        f"{files}/link.png",
        f"{files}/a.html",
        "a.png",
        "http://evil.example/a.png",
        "",
        f"{files}/\0.png",
    ):
        assert ask(f"{API}/file={name}")[0] in (403, 404), name


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "http://evil.example/a.png", "file:///etc/passwd", "a.png", "", 3, ["x"], {}],
)
def test_a_call_that_names_another_file_is_refused(ask, path):
    call = {"data": [None, {"path": path, "meta": {"_type": "gradio.FileData"}}]}
    assert ask(f"{API}/queue/join", "POST", json.dumps(call).encode())[0] == 403
    nested = {"event_data": {"a": [[{"deep": call}]]}}
    assert ask(f"{API}/queue/join", "POST", json.dumps(nested).encode())[0] == 403


def test_a_call_is_handed_on_as_it_came(ask, files):
    body = json.dumps({"data": [{"path": f"{files}/a.png"}, {"path": None}]}).encode()
    status, headers = ask(f"{API}/queue/join", "POST", body)
    assert status == 200 and headers[b"x-body"] == body[:20]


def test_calls_that_are_no_json_or_too_long_are_refused(ask):
    assert ask(f"{API}/queue/join", "POST", b"{")[0] == 403
    assert ask(f"{API}/queue/join", "POST", b"[" * 100_000)[0] == 403
    assert ask(f"{API}/queue/join", "POST", b" " * (MAX_CALL + 1))[0] == 413


@pytest.mark.parametrize(
    ("length", "status"),
    [(None, 411), ("-1", 411), ("x", 411), (MAX_UPLOAD + MAX_CALL, 200), (10**9, 413)],
)
def test_uploads_tell_their_length_and_have_an_end(ask, length, status):
    headers = [] if length is None else [("content-length", str(length))]
    assert ask(f"{API}/upload", "POST", b"1", headers)[0] == status


def test_websockets_are_closed(files):
    sent: list = []

    async def send(message):
        sent.append(message)

    guard = Guard(None, port=PORT, files=files, max_upload=1)  # pyright: ignore
    asyncio.run(guard({"type": "websocket"}, None, send))  # pyright: ignore
    assert sent == [{"type": "websocket.close", "code": 1008}]
