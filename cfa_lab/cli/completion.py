"""`python -m cfa_lab completion bash`: what a shell needs to complete commands, keys, options."""

from cfa_lab.config import conf_dir
from cfa_lab.config.meanings import meanings
from cfa_lab.errors import Parser

BASH = r"""# completion of cfa-lab and of python -m cfa_lab; made by `cfa-lab completion bash`
_cfa_lab_words='{words}'
declare -gA _cfa_lab_values=(
{values}
)
_cfa_lab() {{
    local line="${{COMP_LINE:0:COMP_POINT}}" word key
    word="${{line##* }}"
    COMPREPLY=()
    if [[ "$word" == *=* ]]; then
        key="${{word%%=*}}"
        if [[ "${{_cfa_lab_values[$key]+there}}" ]]; then
            COMPREPLY=($(compgen -W "${{_cfa_lab_values[$key]}}" -- "${{word##*[=,]}}"))
        else
            COMPREPLY=($(compgen -f -- "${{word#*=}}"))
        fi
        return
    fi
    COMPREPLY=($(compgen -W "$_cfa_lab_words" -- "$word"))
    [[ "${{COMPREPLY[0]}}" == *= ]] && compopt -o nospace 2>/dev/null
    ((${{#COMPREPLY[@]}})) || COMPREPLY=($(compgen -f -- "$word"))
}}
_cfa_lab_module() {{
    [[ "$COMP_LINE" == *"-m cfa_lab "* ]] && _cfa_lab
}}
complete -F _cfa_lab cfa-lab
complete -o default -F _cfa_lab_module python python3
"""


def main(arguments: list[str]) -> None:
    """Print the script."""
    parser = Parser(
        prog="python -m cfa_lab completion",
        description="Print what completes sub-commands, keys, groups and their options.",
        epilog='bash: eval "$(cfa-lab completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc',
    )
    parser.add_argument("shell", choices=("bash", "zsh"))
    options = parser.parse_args(arguments)
    if options.shell == "zsh":
        print("autoload -Uz bashcompinit && bashcompinit")
    print(script(), end="")


def script() -> str:
    """The script for bash, which zsh reads too after `bashcompinit`."""
    from cfa_lab.cli.command import CONFIGURED, PLAN, SUBCOMMANDS

    choices = values()
    keys = [key for key, meaning in meanings().items() if meaning.kind != "group"]
    words = [PLAN, *SUBCOMMANDS, *CONFIGURED, "--help", "--version", "-m"]
    words += [f"{key}=" for key in dict.fromkeys([*choices, *keys])]
    lines = [f"    [{key}]='{' '.join(options)}'" for key, options in choices.items()]
    return BASH.format(words=" ".join(words), values="\n".join(lines))


def values() -> dict[str, list[str]]:
    """Group or key -> what may stand behind its `=`, where that is a list of words."""
    groups = {
        folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
        for folder in sorted(conf_dir().iterdir())
        if folder.is_dir() and folder.name != "hydra"
    }
    launchers = {
        f"hydra/{kind}": sorted(p.stem for p in (conf_dir() / "hydra" / kind).glob("*.yaml"))
        for kind in ("launcher", "sweeper")
    }
    of_keys: dict[str, list[str]] = {}
    for key, meaning in meanings().items():
        if meaning.kind == "true or false":
            of_keys[key] = ["true", "false"]
        elif meaning.kind == "text" and meaning.allowed:
            of_keys[key] = meaning.allowed.split(", ")
    return groups | launchers | of_keys
