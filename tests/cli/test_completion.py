import shutil
import subprocess

import pytest

from cfa_lab.cli.completion import main, script, values
from cfa_lab.config.meanings import meanings


def test_every_key_group_and_subcommand_is_among_the_words():
    text = script()
    for word in (
        "predict",
        "plan",
        "doctor",
        "explain",
        "experiment=",
        "loss.K=",
        "hydra/launcher=",
    ):
        assert f"{word} " in text or f" {word}" in text
    for key, meaning in meanings().items():
        if meaning.kind != "group":
            assert f"{key}=" in text
    assert values()["preset"] == ["anomalib", "lab", "official", "paper"]


def test_zsh_reads_it_through_bashcompinit(capsys):
    main(["zsh"])
    assert capsys.readouterr().out.startswith("autoload -Uz bashcompinit && bashcompinit\n")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("cfa-lab thr", "threshold"),
        ("cfa-lab preset=o", "official"),
        ("cfa-lab -m loss.negatives=after_k,f", "from_j"),
        ("cfa-lab trainer.ep", "trainer.epochs="),
        ("cfa-lab scoring.weighting=", "softmin nearest"),
        ("python -m cfa_lab predi", "predict"),
    ],
)
def test_bash_completes_with_it(line: str, offers: str):
    function = "_cfa_lab_module" if line.startswith("python") else "_cfa_lab"
    asked = f'COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}; {function}; echo "${{COMPREPLY[@]}}"'
    found = subprocess.run(
        ["bash", "--norc", "-c", f"{script()}\n{asked}"], capture_output=True, text=True, timeout=60
    )
    assert found.stdout.strip() == offers, found.stderr
