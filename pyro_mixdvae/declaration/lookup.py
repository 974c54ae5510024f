"""From the name of a family to its class: one that ships, one of an installed package, or one in a user's file."""

import importlib
import inspect
import os
import sys
import traceback
from importlib import metadata
from types import ModuleType

from pyro_mixdvae.declaration.document import Table
from pyro_mixdvae.declaration.families import CONTRACTS, FAMILIES, NONE, OPTIONAL, Family, OfNetwork
from pyro_mixdvae.declaration.toml_text import shown
from pyro_mixdvae.declaration.words import nearest
from pyro_mixdvae.endings import Ended
from pyro_mixdvae.errors import InputError

GROUP = "pyro_mixdvae.families"
"""Of the entry points, whose names are as `likelihood.my_t`."""


def find_family(table: str, name: str) -> Family:
    """The class (or function) that makes a part.

    Raises:
        InputError: there is none of that name, or it cannot be imported, or it is none for this table.
    """
    if name in FAMILIES[table]:
        return FAMILIES[table][name]
    if ":" in name:
        return _checked(table, name, find_object(name))
    installed = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if f"{table}.{name}" in installed:
        entry = installed[f"{table}.{name}"]
        try:
            found = entry.load()
        except Exception as error:
            raise InputError(f"{entry.value}, which an installed package gives as {name!r}, {_why(error)}") from error
        return _checked(table, name, found)
    known = family_names(table)
    raise InputError(
        f"there is no family {name!r}{nearest(name, known)}. There are {', '.join(known)}; "
        'or a class of your own, as "my_module:MyClass".'
    )


def find_said_family(table: str, said: Table) -> tuple[str, Family]:
    """The name of a table's family, and what makes it.

    Raises:
        InputError: as `find_family`; names file, table and key.
    """
    name, origin = said["family"]
    place = f"{origin}: [{table}] family = {shown(name)}"
    if not isinstance(name, str):
        raise InputError(f'{place}: give the name of a family in quotes, or "my_module:MyClass".')
    try:
        return name, find_family(table, name)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def family_names(table: str) -> list[str]:
    """Those that ship, those of installed packages, and "none" where the part can be left out."""
    installed = sorted(entry.name for entry in metadata.entry_points(group=GROUP))
    own = [name.removeprefix(f"{table}.") for name in installed if name.startswith(f"{table}.")]
    return [*FAMILIES[table], *own, *([NONE] if table in OPTIONAL else [])]


def find_object(name: str) -> object:
    """What a module of a user's calls so, as "my_module:name": of the working directory, or of an installed package.

    Raises:
        InputError: there is no such module, it cannot be imported, or it has nothing of that name.
    """
    module_name, _, attribute = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    if not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise InputError(f'{name!r} names nothing: write "my_module:MyClass", for a file my_module.py.')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise InputError(
                f"there is no module {module_name!r} in {here} or among the installed packages: start the command in "
                f"the folder of {module_name.split('.')[0]}.py."
            ) from error
        raise InputError(f"{module_name} {_why(error)}") from error
    except (KeyboardInterrupt, Ended):
        raise
    except BaseException as error:  # whatever a module does when it is imported, also sys.exit
        raise InputError(f"{module_name} {_why(error)}") from error
    if not hasattr(module, attribute):
        raise InputError(
            f"{module_name} has no {attribute!r}{nearest(attribute, _own_classes(module))}: "
            f"{getattr(module, '__file__', module_name)} was read."
        )
    return getattr(module, attribute)


def _why(error: BaseException) -> str:
    """`cannot be imported: ...`, with the line of the user's file that failed."""
    if isinstance(error, SyntaxError):
        where = f"{os.path.basename(error.filename or '?')}, line {error.lineno}"
        return f"cannot be imported: {error.msg} ({where})."
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    where = f" ({os.path.basename(own[-1].filename)}, line {own[-1].lineno})" if own else ""
    return f"cannot be imported: {type(error).__name__}: {error}{where}."


def _own_classes(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if inspect.isclass(value)]


def _checked(table: str, name: str, found: object) -> Family:
    """Whether it keeps the contract of the table, as far as can be seen."""
    if isinstance(found, OfNetwork):
        return found
    contracts = CONTRACTS[table]
    if table == "guide" and callable(found) and not inspect.isclass(found):
        return found  # a Pyro program
    if table == "inference" and inspect.isclass(found) and callable(getattr(found, "run", None)):
        return found
    if table == "inference" or not (inspect.isclass(found) and issubclass(found, contracts)):
        wanted = " or ".join(contract.__name__ for contract in contracts)
        article = "a" if table != "inference" else "an"
        raise InputError(
            f"{name} is no {wanted}: what [{table}] names is {article} {wanted}, a class that derives from it"
            f"{', or a Pyro program' if table == 'guide' else ''}."
        )
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise InputError(f"{name} lacks {', '.join(f'`{method}`' for method in missing)}: write it.")
    return found
