"""The page over HTTP, without a browser: what it answers to whom, and what its calls do."""

import http.client
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from helpers.viewing import Serving, view

from cfa_lab.deploy.view import texts
from cfa_lab.deploy.view.uploads import MAX_BYTES

pytest.importorskip("gradio", reason="needs the extra `view`")

API = "/gradio_api"
HOST = "127.0.0.1"
SPOT = "square/test/spot/000.png"


class Client:
    """What a browser's window would send."""

    def __init__(self, serving: Serving):
        self.port, self.files, self.session = serving.port, serving.files, uuid4().hex
        status, body = self.ask("GET", "/config")
        assert status == 200
        self.config = json.loads(body)
        named = [part for part in self.config["components"] if part["props"].get("elem_id")]
        self.ids = {part["props"]["elem_id"]: part["id"] for part in named}
        self.calls = self.config["dependencies"]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def send(
        self, name: str, event: str, *values: Any, event_data: Any = None
    ) -> tuple[int, bytes]:
        """Join the queue with the call that a component's event makes; the state comes first."""
        call = self.found(name, event)
        body = {"data": [None, *values], "fn_index": call["id"], "session_hash": self.session}
        body |= {"event_data": event_data, "trigger_id": self.ids[name]}
        return self.ask(
            "POST", f"{API}/queue/join", json.dumps(body), **{"Content-Type": "application/json"}
        )

    def found(self, name: str, event: str) -> dict[str, Any]:
        """The call that an event of a component makes; "... then" is what comes after it."""
        word = event.removesuffix(" then")
        call = next(one for one in self.calls if [self.ids[name], word] in one["targets"])
        if word != event:
            call = next(one for one in self.calls if one["trigger_after"] == call["id"])
        return call

    def call(self, name: str, event: str, *values: Any, event_data: Any = None) -> dict[str, Any]:
        """Component -> what a call puts there; those it leaves alone are missing."""
        assert self.send(name, event, *values, event_data=event_data)[0] == 200
        call = self.found(name, event)
        names = {number: name for name, number in self.ids.items()}
        _, body = self.ask("GET", f"{API}/queue/data?session_hash={self.session}")
        lines = [line.removeprefix("data:") for line in body.decode().splitlines() if line]
        (message,) = [one for one in map(json.loads, lines) if one["msg"] == "process_completed"]
        assert message["success"], message
        return {
            names[number]: value
            for number, value in zip(call["outputs"], message["output"]["data"], strict=True)
            if number in names
            if not (isinstance(value, dict) and value.get("__type__") == "update")
        }


@pytest.fixture(scope="module")
def serving(tiny_run, tmp_path_factory) -> Generator[Serving]:
    with view(tiny_run, tmp_path_factory.mktemp("told")) as started:
        yield started
    assert not started.files.exists()
    assert started.ended == 0
    assert started.said == f"{started.address}  (Ctrl-C ends it)\n", "one line"
    faults = [line for line in started.errors.splitlines() if line.startswith("gradio.exc")]
    assert "Traceback" not in started.errors or len(faults) == started.errors.count("Traceback")
    assert all("is not in the list of choices" in line for line in faults), started.errors
    assert started.asked == [], "nobody elsewhere was asked for anything"


@pytest.fixture
def client(serving) -> Client:
    return Client(serving)


def test_the_page_is_there_and_other_hosts_pages_get_nothing(client):
    own = f"{HOST}:{client.port}"
    assert client.ask("GET", "/")[0] == 200
    assert client.ask("GET", "/theme.css")[0] == 200
    assert client.ask("GET", "/", Host=own, Origin=f"http://{own}")[0] == 200
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{client.port}"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        for path in ("/", "/config", "/theme.css", f"{API}/queue/data?session_hash=a"):
            status, body = client.ask("GET", path, **headers)
            assert status == 403 and b"<html" not in body


def test_nothing_of_the_page_lies_elsewhere_or_asks_anybody(client):
    _, page = client.ask("GET", "/")
    _, theme = client.ask("GET", "/theme.css")
    assert b"@import" not in theme and b"fonts.g" not in theme + page
    config = client.config
    assert not config["analytics_enabled"] and not config["run_history"]
    assert not config["stylesheets"] and not config["footer_links"]


def test_files_outside_its_own_folder_are_refused(client, viewer, tiny_run):
    inside = client.files / "x.txt"
    inside.write_text("hello")
    for path in (
        "/etc/passwd",
        tiny_run / "model.json",
        tiny_run / "figures" / "scores.png",
        viewer.table.absolute(SPOT),
        f"{client.files}/../../etc/passwd",
        inside,
        "http://127.0.0.1:1/a.png",
    ):
        assert client.ask("GET", f"{API}/file={path}")[0] in (403, 404), path


def test_an_image_of_the_run_is_shown_with_its_mask_and_findings(client, run_scores):
    found = client.call("chosen", "input", SPOT)
    assert found["said"] == f"{SPOT}, spot, 40 x 48 pixels (height x width)"
    assert f"**{float(run_scores[SPOT]):.6g}**" in found["findings"]
    for name in ("image", "mask", "heat", "overlay", "above"):
        status, content = client.ask("GET", f"{API}/file={found[name]['path']}")
        assert status == 200 and content.startswith(b"\x89PNG"), name


def test_what_is_not_in_the_list_is_not_opened(client):
    assert client.send("chosen", "input", "../../etc/passwd")[0] == 200
    _, body = client.ask("GET", f"{API}/queue/data?session_hash={client.session}")
    assert b'"success":false' in body.replace(b" ", b"")


def test_sliders_move_counts_and_findings(client, viewer):
    client.call("chosen", "input", SPOT)
    low = client.call("image_threshold", "change", 0)
    assert "TP 3" in low["counts"] and "FP 3" in low["counts"] and "TN 0" in low["counts"]
    assert "called a defect (TP)" in low["findings"]
    high = client.call("image_threshold", "change", viewer.slider(None)[0])
    assert "FN 3" in high["counts"] and "called normal (FN)" in high["findings"]
    pixels = client.call("pixel_threshold", "change", 0)
    assert "1920 pixels are at or above 0" in pixels["findings"]
    assert "called normal (FN)" in pixels["findings"], "the other threshold is kept"


def test_what_is_moved_while_an_image_is_opened_is_not_forgotten(client):
    client.send("chosen", "input", SPOT)
    client.send("pixel_threshold", "change", 0)
    client.send("image_threshold", "change", 0)
    _, body = client.ask("GET", f"{API}/queue/data?session_hash={client.session}")
    assert body.count(b'"process_completed"') == 3
    findings = client.call("image_threshold", "change", 0)["findings"]
    assert "called a defect (TP)" in findings and "1920 pixels are at or above 0" in findings


def test_windows_do_not_see_each_others_images(client, serving):
    client.call("chosen", "input", SPOT)
    other = Client(serving)
    assert other.call("image_threshold", "change", 0)["findings"] == ""


def test_a_clicked_patch_tells_its_neighbours(client, viewer):
    client.call("chosen", "input", SPOT)
    found = client.call("overlay", "select", event_data={"index": [256, 213], "value": None})
    patch: Any = viewer.open(SPOT).patch_at(213.5 / 427 * 40, 256.5 / 512 * 48)
    row, column = patch.position
    assert f"Patch at row {row}, column {column} of" in found["patch"]
    for entry, distance in zip(patch.entries, patch.distances, strict=True):
        assert f"| {distance:.6g} | {entry} of {len(viewer.bank)} |" in found["patch"]
    assert found["behind"] == []
    found = client.call("overlay", "select then")
    assert found["behind"][0]["caption"] == "the patch that was clicked"
    assert len(found["behind"]) > 1 and "square/train/good/" in found["behind"][1]["caption"]
    assert found["said"].startswith(SPOT)


def test_a_click_where_no_image_is_says_so(client):
    found = client.call("heat", "select", event_data={"index": [1, 2], "value": None})
    assert found == {"said": texts.CHOOSE}


@pytest.mark.parametrize("index", [[9999, 5], [-5, 5]])
def test_a_click_beyond_the_image_says_so(client, index):
    client.call("chosen", "input", SPOT)
    found = client.call("heat", "select", event_data={"index": index, "value": None})
    assert found == {"said": texts.NOT_SCORED}
    assert client.call("heat", "select then") == {}


def upload(client: Client, name: str, content: bytes) -> Any:
    """Upload a file as a browser does; what is then handed to the call."""
    boundary = "xyz"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
    body = head.encode() + b"\r\n" + content + f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, answer = client.ask("POST", f"{API}/upload", body, **kind)
    assert status == 200, answer
    (path,) = json.loads(answer)
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def test_an_uploaded_image_is_scored_and_its_file_deleted(client, viewer, run_scores):
    file = upload(client, "part.png", viewer.table.absolute(SPOT).read_bytes())
    assert Path(file["path"]).is_relative_to(client.files)
    found = client.call("upload", "upload", file)
    assert found["said"] == "part.png, 40 x 48 pixels (height x width)"
    assert f"**{float(run_scores[SPOT]):.6g}**" in found["findings"]
    assert found["mask"] is None and found["chosen"] is None
    assert not Path(file["path"]).exists()


def test_a_bad_upload_is_one_line_and_the_image_before_stays(client):
    client.call("chosen", "input", SPOT)
    found = client.call("upload", "upload", upload(client, "bad.png", b"no image"))
    assert found["said"].startswith("bad.png cannot be read") and "image" not in found
    again = client.call("image_threshold", "change", 0)
    assert "called a defect (TP)" in again["findings"]


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:1/a.png"])
def test_a_call_cannot_name_a_file_that_was_not_uploaded(client, path):
    file = {"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
    assert client.send("upload", "upload", file)[0] == 403


def test_an_upload_that_is_too_large_is_refused_before_it_is_sent(client):
    connection = http.client.HTTPConnection(HOST, client.port, timeout=60)
    connection.putrequest("POST", f"{API}/upload")
    connection.putheader("Content-Length", str(2 * MAX_BYTES))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
