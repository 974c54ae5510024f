"""Pages that are made anew at each build: what they say is read off the code, so that it cannot be out of date."""

import importlib
import pkgutil
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "pyro_mixdvae"
# What a user imports, in the order of the reference; commands and drawing are reached by the command line.
GROUPS = {
    "Tracking and separation": ["tracking", "separation"],
    "Models and guides": ["models", "guides"],
    "Inference": ["inference", "engines"],
    "Checking derivations": ["check", "testing"],
    "Networks, distributions, representations": ["networks", "distributions", "representations"],
    "Declarations": ["declaration"],
    "Training and weights": ["training", "weights"],
    "Benchmarks and baselines": ["benchmark", "baselines"],
}


def write(docs: Path) -> None:
    """Write all pages below the folder of the documents; git ignores them.

    Args:
        docs: the folder of the documents.
    """
    lessons = docs / "lessons"
    shutil.rmtree(lessons, ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", lessons, ignore=shutil.ignore_patterns(".*"))
    _put(docs / "reference" / "commands.md", commands_page())
    _put(docs / "reference" / "families.md", families_page())
    _put(docs / "reference" / "defaults.md", defaults_page())
    _put(docs / "reference" / "api.md", api_page())
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        if (ROOT / name).exists():
            _put(docs / "project" / name.lower(), _for_the_site(ROOT / name))
    _put(docs / "project" / "benchmarks.md", _for_the_site(ROOT / "benchmarks" / "README.md"))
    _put(docs / "project" / "decisions.md", _for_the_site(ROOT / "benchmarks" / "NOTES.md"))


# Where a page of the site lies, for links of the documents that stand elsewhere in the repository.
MOVED = {
    "docs/model.md": "../model.md",
    "../docs/model.md": "../model.md",
    "benchmarks/README.md": "benchmarks.md",
    "NOTES.md": "decisions.md",
    "docs/how_to/check_a_derivation.md": "../how_to/check_a_derivation.md",
    "CONTRIBUTING.md": "contributing.md",
    "../CONTRIBUTING.md": "contributing.md",
}


def _for_the_site(document: Path) -> str:
    """A document of the repository, whose links lead to pages of the site where there are such."""

    def link(found: re.Match[str]) -> str:
        target, _, anchor = found[1].partition("#")
        return f"]({MOVED.get(target, target)}{'#' if anchor else ''}{anchor})"

    return re.sub(r"\]\(([^)\s]+)\)", link, document.read_text())


def commands_page() -> str:
    """Every verb with its arguments and options, as `--help` has them."""
    from typer.main import get_command

    from pyro_mixdvae.cli.main import app

    lines = ["# Command line", "", "Written from the commands themselves; `mixdvae VERB --help` says the same.", ""]
    for words, command in _verbs(get_command(app), ["mixdvae"]):
        lines += [f"## `{' '.join(words)}`", "", textwrap.dedent(command.help or "").strip(), ""]
        lines += ["| option | what it is | if not given |", "| :-- | :-- | :-- |"]
        lines += [_option_row(option) for option in command.params if option.name != "help"]
        lines.append("")
    return "\n".join(lines)


def _verbs(command: Any, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, below in inner.items():
        yield from _verbs(below, [*words, name])


def _option_row(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.param_type_name == "argument":
        names = f"`{option.metavar or option.name.upper()}`"
    said = (getattr(option, "help", "") or "").replace("|", "\\|")
    default = option.default
    shown = "" if default is None or default == "" or callable(default) else f"`{default}`"
    return f"| {names} | {said} | {'needed' if option.required else shown} |"


def families_page() -> str:
    """The families of every part that a declaration can name, with their options."""
    from pyro_mixdvae.declaration.document import TABLES
    from pyro_mixdvae.declaration.overview import overview

    lines = ["# Parts of a model", "", "What `--set TABLE.family=NAME` and a model in a file can name;", ""]
    lines += ["`mixdvae model list` says the same.", ""]
    rows = list(overview())
    for table in TABLES:
        lines += [f"## `[{table}]`", "", "| family | for | options | what it is |", "| :-- | :-- | :-- | :-- |"]
        lines += [
            f"| `{row.name}` | {', '.join(row.tasks)} | {_cell('; '.join(row.options))} | {_cell(row.summary)} |"
            for row in rows
            if row.table == table
        ]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def defaults_page() -> str:
    """The presets that ship, whole."""
    lines = ["# Presets", "", "Declarations that ship with the package; `--preset NAME` takes one.", ""]
    for path in sorted((ROOT / PACKAGE / "declaration" / "presets").glob("*/*.toml")):
        lines += [f"## {path.parent.name}: `{path.stem}`", "", "```toml", path.read_text().strip(), "```", ""]
    return "\n".join(lines)


def api_page() -> str:
    """A list of modules by what they are for; autosummary makes a page of each."""
    lines = ["# Python", "", "```{eval-rst}", ".. autosummary::", "   :nosignatures:", "", f"   {PACKAGE}", "```", ""]
    for title, packages in GROUPS.items():
        modules = [name for package in packages for name in _modules(f"{PACKAGE}.{package}")]
        lines += [f"## {title}", "", "```{eval-rst}", ".. autosummary::", "   :toctree: api", "   :nosignatures:", ""]
        lines += [f"   {name}" for name in modules]
        lines += ["```", ""]
    return "\n".join(lines)


def _modules(package: str) -> list[str]:
    try:
        root = importlib.import_module(package)
    except ModuleNotFoundError:
        return []
    found = [package]
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        found.append(module.name)
    return found


def as_restructured_text(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written to be read in an editor; before they are parsed, `code` is marked as such, a * escaped.

    Called by `sphinx.ext.autodoc` for each docstring, whose lines are changed in place.
    """
    for number, line in enumerate(lines):
        parts = re.split(r"(``[^`]+``|:[a-z]+:`[^`]+`|`[^`]+`)", line)
        lines[number] = "".join(_inline(part) for part in parts)


def _inline(part: str) -> str:
    if part.startswith((":", "``")):
        return part
    if part.startswith("`"):
        return f"`{part}`"
    return re.sub(r"(?<!\\)([*|])", r"\\\1", part)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
