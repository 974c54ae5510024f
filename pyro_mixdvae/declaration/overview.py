"""What can be declared: the families of each table with their options."""

import inspect
from collections.abc import Iterator
from typing import NamedTuple

from pyro_mixdvae.declaration.document import TABLES
from pyro_mixdvae.declaration.families import NONE, Family, OfNetwork
from pyro_mixdvae.declaration.lookup import family_names, find_family
from pyro_mixdvae.declaration.options import REQUIRED, Option, options_of
from pyro_mixdvae.declaration.sources import WEIGHTS, is_learned_nowhere
from pyro_mixdvae.declaration.tasks import reason_against
from pyro_mixdvae.declaration.toml_text import shown
from pyro_mixdvae.declaration.words import named_type
from pyro_mixdvae.errors import InputError


class Row(NamedTuple):
    """One family.

    Attributes:
        table: [table].
        name: family = "name".
        tasks: what it is for: boxes, sounds.
        options: as they are written, with defaults.
        summary: the first line of its docstring.
    """

    table: str
    name: str
    tasks: tuple[str, ...]
    options: tuple[str, ...]
    summary: str


def overview() -> Iterator[Row]:
    """A row a family, in the order of the tables; of one that cannot be imported the summary says why."""
    for table in TABLES:
        for name in family_names(table):
            if name == NONE:
                yield Row(table, name, ("boxes", "sounds"), (), "The model has no such part.")
                continue
            try:
                family = find_family(table, name)
            except InputError as error:  # of an installed package
                yield Row(table, name, (), (), str(error))
                continue
            tasks = tuple(task for task in ("boxes", "sounds") if reason_against(task, family) is None)
            yield Row(table, name, tasks, tuple(_options(table, family)), _summary(family))


def _options(table: str, family: Family) -> Iterator[str]:
    if table == "guide":
        return
    if not isinstance(family, OfNetwork):
        for key, option in options_of(family).items():
            yield _written(key, option)
        return
    yield "weights"
    for key, option in options_of(family.sources).items():
        yield _written(key, option)
    if is_learned_nowhere(family.network):
        yield f"or, without {WEIGHTS}:"
        for key, option in options_of(family.network).items():
            yield _written(key, option)


def _written(key: str, option: Option) -> str:
    if option.default is REQUIRED:
        return f"{key}: {named_type(option.annotation)}"
    return (
        f"{key} = {shown(option.default)}"
        if option.default is not None
        else f"{key}: {named_type(option.annotation)}, if any"
    )


def _summary(family: Family) -> str:
    """The first line of the docstring; of a prior that a network gives, of the network's."""
    of = family.network if isinstance(family, OfNetwork) else family
    return (inspect.getdoc(of) or "").partition("\n")[0]
