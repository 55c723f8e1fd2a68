"""`python -m cfa_lab explain KEY`: what a key means, what it may hold, and what it is set to."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from cfa_lab.cli.nearby import unknown_key
from cfa_lab.config import Config, conf_dir
from cfa_lab.config.meanings import Meaning, meanings
from cfa_lab.config.presets import presets
from cfa_lab.errors import Parser, UserError

OF_HYDRA = {
    "experiment": "a file of settings, conf/experiment/<name>.yaml",
    "hydra.run.dir": "The folder of a single run, instead of outputs/<day>/<time>.",
    "hydra.sweep.dir": "The folder of a multirun, instead of multirun/<day>/<time>.",
    "hydra.sweep.subdir": "The folder of a run within it.",
    "hydra/launcher": "What runs the jobs of a multirun; without one they go one by one.",
    "hydra/sweeper": "What chooses the jobs of a multirun; without one all of a grid.",
}
"""Groups and keys that are no part of the schema."""

Compose = Callable[[list[str]], Config]
"""From settings, as on the command line of a run, to the checked configuration."""

USUAL = "lab"
"""The preset of a command line that names none."""

NO_DEFAULT = ("features.folder", "dataset.root", "features.workers")
"""Keys whose value comes from the environment or the machine."""


def main(arguments: list[str], compose: Compose) -> None:
    """Explain keys and groups; raises UserError for an unknown one."""
    parser = Parser(
        prog="python -m cfa_lab explain",
        description="Say what a key means, what it may hold, its default and its value by preset.",
        epilog="Examples: explain loss.K; explain loss; explain experiment; explain (all groups)",
    )
    parser.add_argument("keys", nargs="*", metavar="KEY", help="a key, or a group of them")
    parser.add_argument("--markdown", action="store_true", help="all keys as docs/keys.md has them")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(markdown(compose), end="")
        return
    values = Values(compose)
    keys = options.keys or [key for key in meanings() if "." not in key]
    for i, key in enumerate(keys):
        if i and options.keys:
            print()
        _explain(key.partition("=")[0], values, brief=not options.keys)


class Values:
    """What keys are set to, by preset; nothing is composed before it is asked for."""

    def __init__(self, compose: Compose):
        self._compose = compose
        self._configs: dict[str, Config] = {}

    def of(self, key: str, preset: str = USUAL) -> str:
        """A key's value as it is typed."""
        if preset not in self._configs:
            self._configs[preset] = self._compose([f"preset={preset}"])
        return typed(reduce(getattr, key.split("."), self._configs[preset]))

    def others(self, key: str) -> dict[str, str]:
        """The values of presets that set another one than the usual preset."""
        found = {preset: self.of(key, preset) for preset in presets()}
        return {p: value for p, value in found.items() if value != found[USUAL]}


def typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{k}:{typed(v)}' for k, v in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _explain(key: str, values: Values, *, brief: bool) -> None:
    known = meanings()
    if key in OF_HYDRA:
        print(f"{key}  {OF_HYDRA[key]}")
        _list_options(key)
    elif key not in known:
        if options := [path for path in conf_dir().glob(f"*/{key}.yaml") if key != "default"]:
            for path in sorted(options):
                print(f"{path.parent.name}={key}  {first_comment(path)}".rstrip())
            return
        raise UserError(unknown_key(key, [*known, *OF_HYDRA]))
    elif brief:
        meaning = known[key]
        print(f"{key:12}  {meaning.sentence}")
    elif known[key].kind == "group":
        _explain_group(known[key], values)
    else:
        _explain_one(known[key], values)
        if key == "preset":
            _list_options(key)


def _explain_one(meaning: Meaning, values: Values) -> None:
    allowed = f"; allowed: {meaning.allowed}" if meaning.allowed else ""
    print(f"{meaning.key}  {meaning.kind}{allowed}\n  {meaning.sentence}")
    print(f"  default: {values.of(meaning.key)}")
    if others := values.others(meaning.key):
        print(f"  by preset: {', '.join(f'{p} {value}' for p, value in others.items())}")


def _explain_group(group: Meaning, values: Values) -> None:
    print(f"{group.key}  {group.sentence}")
    inside = [m for key, m in meanings().items() if key.startswith(f"{group.key}.")]
    width = max(len(meaning.key) for meaning in inside)
    for meaning in inside:
        print(f"  {meaning.key:{width}}  {meaning.sentence}  [{values.of(meaning.key)}]")
    _list_options(group.key)


def _list_options(group: str) -> None:
    options = sorted((conf_dir() / group).glob("*.yaml"))
    if len(options) > 1 or (options and group.startswith("hydra/")):
        print(f"  options ({group}=<name>):")
        for path in options:
            print(f"    {path.stem:20}  {first_comment(path)}".rstrip())


def first_comment(path: Path) -> str:
    """What a configuration file says of itself, up to the first full stop."""
    lines = path.read_text(encoding="utf-8").splitlines()
    told = [line[2:] for line in lines if line.startswith("# ") and "@package" not in line]
    return " ".join(told).partition(". ")[0].rstrip(".")


def markdown(compose: Compose) -> str:
    """`docs/keys.md`: every key with its meaning, what it may hold, and its values."""
    values = Values(compose)
    lines = [
        "# Keys",
        "",
        "Every key of a run, from the schema in `cfa_lab/config/`; made by `python -m cfa_lab "
        "explain --markdown`. One of them: `python -m cfa_lab explain loss.K`. Set a key with "
        "`key=value`, choose a file of a group with `group=option`.",
        "The default is what a command line without further settings gives (`preset=lab`); another "
        "preset's value stands beside it where it differs.",
        "",
        "Configuration files of your own: `--config-dir FOLDER` or "
        "`hydra.searchpath=[file://FOLDER]`, with groups as in `conf/`, for instance "
        "`FOLDER/experiment/mine.yaml` for `experiment=mine`.",
    ]
    known = meanings()
    groups = ["", *(key for key, meaning in known.items() if meaning.kind == "group")]
    for group in groups:
        inside = [
            meaning
            for key, meaning in known.items()
            if meaning.kind != "group" and key.rpartition(".")[0] == group
        ]
        title = f"`{group}`: {known[group].sentence}" if group else "The run itself"
        lines += ["", f"## {title}", "", "| key | meaning | holds | default |", "|---|---|---|---|"]
        for meaning in inside:
            allowed = f": {meaning.allowed}" if meaning.allowed else ""
            lines.append(
                f"| `{meaning.key}` | {_cell(meaning.sentence)} | {meaning.kind}{allowed} | "
                f"{_default(meaning.key, values)} |"
            )
    return "\n".join(lines) + "\n"


def _default(key: str, values: Values) -> str:
    if key in NO_DEFAULT:
        return "of the machine"
    others = "".join(f"; {p} `{value}`" for p, value in values.others(key).items())
    return f"`{values.of(key)}`{'' if key == 'preset' else others}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
