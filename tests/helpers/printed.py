"""What README and docs print for others to type."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = re.compile(r"^( *)```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHELLS = ("", "bash", "sh", "console")
FOR = r"(?:[A-Z_]+=[^\s`]+ )?"  # an environment variable of this command alone
PROGRAM = re.compile(FOR + r"(?:python|pip|cfa-lab|make|wandb)\s.*")
INLINE = re.compile(f"`({FOR}(?:python -m|python \\w+/|pip install|cfa-lab |make )[^`]*)`")


class Printed(NamedTuple):
    """A command, whole even if it is printed on several lines, and the document that prints it."""

    document: str
    command: str


def snippets(document: str) -> list[str]:
    """The blocks of Python in a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [re.sub(rf"(?m)^{indent}", "", code) for indent, code in PYTHON.findall(text)]


def printed() -> Iterator[Printed]:
    """Every command, of blocks first, then of running text; each once a document."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        blocks = BLOCK.findall(text)
        lines = [
            line.strip().removeprefix("$ ")
            for _, language, block in blocks
            if language in SHELLS
            for line in re.sub(r"\\\n\s*", "", block).splitlines()  # lines that go on
        ]
        found = [line for line in lines if PROGRAM.fullmatch(line)]
        found += [" ".join(code.split()) for code in INLINE.findall(BLOCK.sub("", text))]
        commands = (re.split(r"\s+#\s", command)[0].strip() for command in found)
        for command in dict.fromkeys(commands):
            yield Printed(path.relative_to(ROOT).as_posix(), command)
