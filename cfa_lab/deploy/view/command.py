"""`python -m cfa_lab view`: look at one image closely, in the browser."""

import argparse

from cfa_lab.deploy.arguments import add_model, open_model
from cfa_lab.errors import Parser, UserError

MAX_PORT = 65535


def main(arguments: list[str]) -> None:
    """Serve the page of a run on 127.0.0.1 until Ctrl-C or SIGTERM."""
    options = _parser().parse_args(arguments)
    if not 0 <= options.port <= MAX_PORT:
        raise UserError(f"--port is {options.port}; allowed: 1 to {MAX_PORT}, or 0 for a free one")
    from cfa_lab.deploy.view.server import listen, make_app, need_library, private_folder, serve

    need_library()
    with listen(options.port) as listener, private_folder() as files:
        port = listener.getsockname()[1]
        from cfa_lab.deploy.runtime_torch import TorchRuntime
        from cfa_lab.deploy.view.viewer import Viewer

        runtime = open_model(options)
        if not isinstance(runtime, TorchRuntime):
            raise UserError(
                f"{options.run} is an exported model, which keeps no memory bank that could be "
                "looked at; give the run's folder"
            )
        viewer = Viewer(runtime, options.run.expanduser())
        try:
            serve(
                make_app(viewer, port=port, files=files),
                listener,
                address=f"http://127.0.0.1:{port}",
            )
        finally:
            viewer.bank.closed = True


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m cfa_lab view",
        description="Look at single images in the browser: map, mask, thresholds, and what a "
        "patch is compared with. Serves on 127.0.0.1 only.",
    )
    add_model(parser)
    parser.add_argument("--port", type=int, default=0, help="default: a free one, which is told")
    return parser
