"""Write what the documents say of settings and commands from the code that has them.

`python -m tests.reference` writes the README's table, docs/reference/settings.md and commands.md.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined
from typer.core import TyperGroup, TyperOption

from service.cli import program
from service.settings import Settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
_SETTINGS = ROOT / "docs" / "reference" / "settings.md"
_COMMANDS = ROOT / "docs" / "reference" / "commands.md"

_BEGIN, _END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
_GENERATED = "<!-- Written by `make reference`; mend it in the code. -->\n"

# Defaults that the settings compute, as a reader is told them.
_COMPUTED = {"public_url": "http://{HOST}:{PORT}"}


def pages() -> dict[Path, str]:
    """Return each file that is written here, as it should be."""
    return {README: _readme(), _SETTINGS: _settings_page(), _COMMANDS: _commands_page()}


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command by its words, such as `keys create`."""

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(command, TyperGroup):
            for name, inner in command.commands.items():
                yield from walk(f"{path} {name}".strip(), inner)
        else:
            yield path, command

    return walk("", program())


def _readme() -> str:
    before, _, rest = README.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + _settings_table("docs/") + _END + after


def _settings_page() -> str:
    return (
        f"# Settings\n\n{_GENERATED}\nAll from the environment, read once, at start. A setting that"
        " can't be is said by name, and the process ends with 2. `betalbar doctor` says what is"
        f" missing.\n\n{_settings_table('../')}"
    )


def _settings_table(docs: str) -> str:
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        text = re.sub(r"docs/(\w+\.md)", rf"[docs/\1]({docs}\1)", field.description or "")
        said = " ".join(text.split()).rstrip(".")
        lines.append(f"| `BETALBAR_{name.upper()}` | {_default(name)} | {said} |")
    return "\n".join(lines) + "\n"


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    assert value is not PydanticUndefined
    shown = _COMPUTED.get(name) or ("" if value in ("", ()) else str(value))
    return f"`{shown}`" if shown else "empty"


def _commands_page() -> str:
    parts = [
        f"# Commands\n\n{_GENERATED}\n`betalbar COMMAND --help` says the same in the terminal."
        " Exit codes: 0 done, 1 refused, 2 usage (options, settings, a taken port, an older"
        " schema). Settings come from the environment: [settings](settings.md).\n"
    ]
    parts += [_command(path, command) for path, command in sorted(commands(), key=lambda c: c[0])]
    return "\n".join(parts)


def _command(path: str, command: Any) -> str:
    arguments = [p for p in command.params if not isinstance(p, TyperOption)]
    options = [p for p in command.params if isinstance(p, TyperOption)]
    words = [_argument(one) for one in arguments]
    usage = " ".join(["betalbar", path, *(["[OPTIONS]"] if options else []), *words])
    parts = [f"## betalbar {path}\n", _flowing(command.help), f"```text\n{usage}\n```\n"]
    if command.params:
        rows = [f"| `{_argument(one)}` | {_said(one)} | |" for one in arguments]
        rows += [f"| {_names(one)} | {_said(one)} | {_option_default(one)} |" for one in options]
        parts.append("\n".join(["| | | default |", "|---|---|---|", *rows]) + "\n")
    if command.epilog:
        parts.append(_flowing(command.epilog))
    return "\n".join(parts)


def _flowing(text: str) -> str:
    """Return a docstring's paragraphs without its indentation."""
    return "\n".join(line.removeprefix("    ") for line in text.strip().splitlines()) + "\n"


def _argument(one: Any) -> str:
    name = (one.metavar or one.name).upper().strip("[]")
    return name if one.required else f"[{name}]"


def _names(one: TyperOption) -> str:
    return ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))


def _said(one: Any) -> str:
    return " ".join((one.help or "").split()).replace("|", "\\|")


def _option_default(one: TyperOption) -> str:
    value = one.default() if callable(one.default) else one.default
    if value in (None, "", False, []) or one.is_flag:
        return ""
    return f"`{getattr(value, 'value', value)}`"


def main() -> None:
    """Write every page again."""
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
