"""The page on 127.0.0.1, until it is told to end."""

import os
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cfa_lab.deploy.view.guard import App, Guard
from cfa_lab.deploy.view.uploads import MAX_BYTES
from cfa_lab.deploy.view.viewer import Viewer
from cfa_lab.errors import UserError

HOST = "127.0.0.1"
LIBRARY = "gradio"
GOODBYE_SECONDS = 1
"""How long open connections are waited for at the end; a browser never closes its own."""


def need_library() -> None:
    """Raise UserError where Gradio is not installed."""
    if find_spec(LIBRARY) is None:
        raise UserError("view needs Gradio; install it with: pip install 'cfa-lab[view]'")


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1; port 0 takes a free one. Raises UserError for one that is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would let two servers share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"port {port} of {HOST} cannot be used ({error.strerror}); "
            "give another with --port, or none for a free one"
        ) from error
    return listener


@contextmanager
def private_folder() -> Generator[Path]:
    """A folder of ours alone for uploads and pictures, gone afterwards; Gradio is told of it."""
    with tempfile.TemporaryDirectory(prefix="cfa_lab-view-") as folder:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


def make_app(viewer: Viewer, *, port: int, files: Path) -> App:
    """The page behind its guard; `files` is the folder of `private_folder`."""
    # read when Gradio is imported and when a page is made; nothing is asked of other machines
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from fastapi import FastAPI
    from gradio.routes import mount_gradio_app
    from gradio.themes import Default

    from cfa_lab.deploy.view.page import CSS, Page

    nothing: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    app = mount_gradio_app(
        FastAPI(**nothing),
        Page(viewer).blocks,
        path="/",
        server_name=HOST,
        server_port=port,
        app_kwargs=nothing,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        blocked_paths=[],
        show_error=True,
        max_file_size=MAX_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        css=CSS,
        theme=Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )
    return Guard(app, port=port, files=files, max_upload=MAX_BYTES)


def serve(app: App, listener: socket.socket, *, address: str) -> None:
    """Serve until SIGINT or SIGTERM; prints the address once the page can be opened."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(f"{address}  (Ctrl-C ends it)", flush=True)

    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType]
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises again what ended it
        Server(config).run(sockets=[listener])
