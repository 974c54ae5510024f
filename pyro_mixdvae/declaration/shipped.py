"""The declarations that ship, and what the options of a command change of them."""

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from pyro_mixdvae.declaration.document import Declaration, Task
from pyro_mixdvae.declaration.toml_text import read_toml
from pyro_mixdvae.errors import InputError

Weights = str | Path | Sequence[str | Path]

METHODS = ("coordinate", "svi", "hybrid")
PRESETS: dict[Task, tuple[str, ...]] = {
    "boxes": ("default", "published", "vkf", "deep-ar"),
    "sounds": ("additive", "assignment", "published"),
}
POINTS, POSES = "points", "poses"
"""The presets of points and of poses, which are declared as those of boxes are, and can do nothing with boxes."""

SVI_STEPS: dict[Task, int | None] = {"boxes": None, "sounds": 50}
"""Of `--method svi` and `hybrid` unless a user says otherwise; None: the algorithm's own."""


def shipped(name: str, task: Task = "boxes") -> Declaration:
    """The declaration of a preset, by the name of its file in `presets/`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in known_presets(task):
        raise InputError(f"There is no preset '{name}': choose from {', '.join(known_presets(task))}.")
    path = resources.files("pyro_mixdvae.declaration") / "presets" / task / f"{name}.toml"
    return Declaration.of(read_toml(path.read_text(encoding="utf-8"), f"{name}.toml"), f"preset {name}")


def known_presets(task: Task) -> tuple[str, ...]:
    """Names of all that can be declared for a task."""
    return (*PRESETS[task], POINTS, POSES) if task == "boxes" else PRESETS[task]


def declared(
    preset: str,
    model: str | Path | None = None,
    sets: Iterable[str] = (),
    weights: Weights | None = None,
    method: str | None = None,
    iterations: int | None = None,
    task: Task = "boxes",
) -> Declaration:
    """A preset, under what a file changes of it, under what options change of that; `--set` has the last word.

    Args:
        preset: a name of those that ship.
        model: a TOML file.
        sets: of `--set`.
        weights: of `--weights`, or `--sources` of sounds.
        method: of `--method`: coordinate, svi or hybrid; coordinate leaves the published algorithm as it is.
        iterations: of `--iterations`.
        task: what the preset is for.

    Raises:
        InputError: a file or an option cannot be read, or there is no such preset or method.
    """
    found = shipped(preset, task)
    if model is not None:
        found = found.under(Declaration.read(model))
    found = with_method(with_weights(found, weights), method, iterations, task)
    return found.under(Declaration.of_options(sets))


def of_parts(declaration: Declaration, n_parts: int) -> Declaration:
    """The preset of poses for such of so many parts; what names its representation itself stays as it is."""
    said = declaration.tables.get("sources", {}).get("representation")
    if said is None or said.origin != f"preset {POSES}":
        return declaration
    return declaration.under(Declaration.of({"sources": {"representation": f"poses-{n_parts}"}}, said.origin))


def with_weights(declaration: Declaration, weights: Weights | None) -> Declaration:
    """With other weights, as `--weights` has it: the sources are then of the family that these are of."""
    if weights is None:
        return declaration
    names = str(weights) if isinstance(weights, str | Path) else list(map(str, weights))
    return declaration.under(Declaration.of({"sources": {"weights": names}}, "--weights"))


def with_method(
    declaration: Declaration, method: str | None, iterations: int | None, task: Task = "boxes"
) -> Declaration:
    """[inference] as `--method` and `--iterations` have it; SVI takes steps, and of hybrid they are those that count.

    Raises:
        InputError: there is no such method.
    """
    if method is not None:
        check_method(method)
    table = {key: said.value for key, said in declaration.tables.get("inference", {}).items()}
    family = table.get("family")
    if method == "svi" and family != "svi":
        table = {"family": "svi"}
    elif method == "hybrid" and family != "hybrid":
        start = {"start": family, **({"n_iterations": table["n_iterations"]} if "n_iterations" in table else {})}
        table = {"family": "hybrid", **(start if family in ("coordinate", "published") else {})}
    elif method == "coordinate" and family in ("svi", "hybrid"):
        table = {"family": "coordinate"}
    steps = SVI_STEPS[task] if method in ("svi", "hybrid") and "n_steps" not in table else None
    if iterations is not None or steps is not None:
        table["n_steps" if table.get("family") in ("svi", "hybrid") else "n_iterations"] = iterations or steps
    if method is None and iterations is None:
        return declaration
    option = "--method" if iterations is None else "--iterations"
    return declaration.under(Declaration.of({"inference": table}, option))


def check_method(method: str) -> None:
    """Whether there is such a method.

    Raises:
        InputError: there is not.
    """
    if method not in METHODS:
        raise InputError(f"There is no algorithm '{method}': choose from {', '.join(METHODS)}.")
