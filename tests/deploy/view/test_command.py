import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfa_lab.deploy.view import command, server
from cfa_lab.deploy.view.server import HOST, listen, private_folder
from cfa_lab.errors import UserError


def test_help_is_quick_and_needs_neither_torch_nor_gradio():
    program = (
        "import sys; from cfa_lab.deploy.view.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'gradio', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "--port" in done.stdout and done.stdout.splitlines()[-1] == "[]", done.stderr


def test_it_listens_on_this_machine_only_and_a_taken_port_is_told():
    with listen(0) as listener:
        host, port = listener.getsockname()
        assert host == HOST == "127.0.0.1"
        with pytest.raises(UserError, match=rf"port {port} of 127\.0\.0\.1 cannot be used"):
            listen(port)
    listen(port).close()


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none_is_told(port):
    with pytest.raises(UserError, match=f"--port is {port}"):
        command.main(["run", "--port", port])


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(server, "LIBRARY", "a_library_that_is_not_there")
    with pytest.raises(UserError, match=r"pip install 'cfa-lab\[view\]'"):
        command.main(["run"])


def test_a_run_that_is_not_there_is_told_before_anything_is_served(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(server, "need_library", lambda: None)
    with pytest.raises(UserError, match="does not exist"):
        command.main([str(tmp_path / "none")])
    assert capsys.readouterr().out == ""


def test_an_exported_model_has_no_bank_to_look_at(monkeypatch):
    monkeypatch.setattr(server, "need_library", lambda: None)
    monkeypatch.setattr(command, "open_model", lambda options: object())
    with pytest.raises(UserError, match=r"model\.onnx is an exported model"):
        command.main(["model.onnx"])


@pytest.mark.parametrize("before", [None, "/somewhere"])
def test_its_folder_is_nobody_elses_and_goes(monkeypatch, before):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    if before is not None:
        monkeypatch.setenv("GRADIO_TEMP_DIR", before)
    with private_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert os.name != "posix" or Path(folder).stat().st_mode & 0o77 == 0
    assert not folder.exists() and os.environ.get("GRADIO_TEMP_DIR") == before
