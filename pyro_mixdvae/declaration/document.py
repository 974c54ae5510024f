"""A declaration: tables of a family and its options, each value with where it was said; laid one over another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pyro_mixdvae import __version__
from pyro_mixdvae.declaration.toml_text import read_toml, read_value, shown, write_toml
from pyro_mixdvae.declaration.words import nearest
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import cut, quoted, read_text

TABLES = (
    "sources",
    "assignment",
    "likelihood",
    "noise",
    "clutter",
    "labels",
    "systematic",
    "silence",
    "camera",
    "guide",
    "inference",
)
SETTINGS = {"n_sources": (1, 10_000), "seed": (0, 2**64 - 1)}
"""Numbers of a run, and between which they are."""

LONGEST_NAME, LONGEST_TEXT, LONGEST_LIST = 200, 4096, 1000
"""Of what a declaration says; whatever is longer is none."""

Task = Literal["boxes", "sounds"]
"""What a declaration is for."""


class Said(NamedTuple):
    """A value, and where it was said: a file, an option of the command line, a preset."""

    value: Any
    origin: str


Table = Mapping[str, Said]


@dataclass(frozen=True)
class Declaration:
    """What a model is made of, as it was said; nothing is looked up or checked but names of tables.

    Attributes:
        tables: by name, the options of each, with "family" among them.
        settings: numbers of a run that stand above all tables: `n_sources`, `seed`.
    """

    tables: Mapping[str, Table] = field(default_factory=dict)
    settings: Table = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any], origin: str) -> "Declaration":
        """From a document as TOML has it: {"likelihood": {"family": "student_t", "df": 4.0}}.

        Raises:
            InputError: a table or a number that no declaration has, or one of the wrong kind.
        """
        tables, settings = dict[str, Table](), dict[str, Said]()
        for name, value in document.items():
            _check_lengths(name, value, origin)
            if name in TABLES and isinstance(value, Mapping):
                tables[name] = {key: Said(item, origin) for key, item in value.items()}
            elif name in SETTINGS and isinstance(value, int) and not isinstance(value, bool):
                least, most = SETTINGS[name]
                if not least <= value <= most:
                    raise InputError(f"{origin}: {name} = {shown(value)}: give a whole number from {least} to {most}.")
                settings[name] = Said(value, origin)
            elif name in TABLES:
                raise InputError(
                    f"{origin}: {name} = {shown(value)}: {name} is a table: write [{name}] above its family."
                )
            elif name in SETTINGS:
                raise InputError(f"{origin}: {name} = {shown(value)}: give a whole number.")
            elif isinstance(value, Mapping):
                raise InputError(
                    f"{origin}: there is no table [{name}]{nearest(name, TABLES)}. There are {', '.join(TABLES)}."
                )
            else:
                raise InputError(
                    f"{origin}: {name} = {shown(value)} stands in no table: above the first there are only "
                    f"{' and '.join(SETTINGS)}{nearest(name, SETTINGS)}; options stand below their [table]."
                )
        return cls(tables, settings)

    @classmethod
    def read(cls, path: str | Path) -> "Declaration":
        """From a file.

        Raises:
            InputError: it cannot be read, is no TOML, or holds what no declaration has.
        """
        return cls.of(read_toml(read_text(Path(path)), str(path)), str(path))

    @classmethod
    def of_options(cls, options: Iterable[str]) -> "Declaration":
        """From `--set` options, as `likelihood.df=4`; of two that say the same the later counts.

        Raises:
            InputError: one is no `table.key=value`, or names no table.
        """
        found = cls()
        for option in options:
            name, equals, text = option.partition("=")
            table, dot, key = (part.strip() for part in name.partition("."))
            origin = f"--set {cut(option)}"
            if not equals or (not dot and table not in SETTINGS) or (dot and not key):
                raise InputError(f"{origin}: write TABLE.KEY=VALUE, as --set likelihood.df=4.")
            value = read_value(text.strip())
            layer = cls.of({table: {key: value} if dot else value}, origin)
            merged = {**found.tables.get(table, {}), **layer.tables.get(table, {})}
            tables = {**found.tables, table: merged} if dot else found.tables
            found = cls(tables, {**found.settings, **layer.settings})
        return found

    def under(self, layer: "Declaration") -> "Declaration":
        """This with another laid over it: a table that names its family is whole; one that does not changes this one's.

        Weights know which family they are of: where a layer names other weights and no family, this one's family goes.
        """
        tables = dict(self.tables)
        for name, table in layer.tables.items():
            below = {} if "family" in table else dict(tables.get(name, {}))
            if "weights" in table:
                below.pop("family", None)
            tables[name] = {**below, **table}
        return replace(self, tables=tables, settings={**self.settings, **layer.settings})

    def of_run(self, n_sources: int, seed: int) -> "Declaration":
        """This with the numbers of a run above its tables."""
        settings = {"n_sources": Said(n_sources, "the run"), "seed": Said(seed, "the run")}
        return replace(self, settings=settings)

    def setting(self, name: str) -> int | None:
        """A number that stands above the tables; None where it is not said."""
        return self.settings[name].value if name in self.settings else None

    @property
    def files(self) -> list[Path]:
        """Where files may be that it names: weights, and modules of families of one's own."""
        found = []
        for key, value in ((key, said.value) for table in self.tables.values() for key, said in table.items()):
            for name in value if isinstance(value, list) else [value]:
                if key == "weights" and isinstance(name, str):
                    found.append(Path(name))
                elif key == "family" and isinstance(name, str) and ":" in name:
                    found.append(Path(name.partition(":")[0].replace(".", "/") + ".py"))
        return found

    def document(self) -> dict[str, Any]:
        """As TOML has it, in the order of `TABLES`."""
        numbers = {name: self.settings[name].value for name in SETTINGS if name in self.settings}
        tables = {
            name: {key: said.value for key, said in self.tables[name].items()} for name in TABLES if name in self.tables
        }
        return {**numbers, **tables}

    def text(self) -> str:
        """The document as a file holds it, with the version that wrote it in the first line."""
        return f"# pyro-mixdvae {__version__}\n{write_toml(self.document())}"


def _check_lengths(name: str, value: Any, origin: str) -> None:
    """Refuse what is too long for any name, text or list, before it is looked up or repeated in a message."""
    if len(name) > LONGEST_NAME:
        raise InputError(f"{origin}: {quoted(name)} is too long for a name.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_lengths(key, item, origin)
    elif isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise InputError(f"{origin}: {name} = {shown(value)}: give a text of at most {LONGEST_TEXT} characters.")
    elif isinstance(value, list):
        if len(value) > LONGEST_LIST:
            raise InputError(f"{origin}: {name} = {shown(value)}: give a list of at most {LONGEST_LIST} entries.")
        for item in value:
            _check_lengths(name, item, origin)
