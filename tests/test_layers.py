"""No module imports from a layer above its own, and the two tasks know nothing of each other."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "pyro_mixdvae"
# From the top: what stands in a line may import from its own line and from those below.
LAYERS = (
    ("cli", "__main__"),
    ("tracking", "separation", "benchmark", "baselines"),
    ("check", "testing"),
    ("declaration",),
    ("training", "weights"),
    ("inference",),
    ("engines",),
    ("guides",),
    ("models",),
    ("networks",),
    ("representations", "distributions"),
    ("reporting", "progress"),
    ("outputs",),
    ("exchange",),
    ("locks",),
    ("endings", "extras", "inputs", "process_state", "resources"),
    ("errors", "plurals"),
)
# In one line, but the first knows nothing of the second.
APART = {
    ("tracking", "separation"),
    ("separation", "tracking"),
    ("baselines", "benchmark"),
    *((task, other) for task in ("tracking", "separation") for other in ("benchmark", "baselines")),
}


def layer(name: str) -> int:
    (number,) = (number for number, names in enumerate(LAYERS) if name in names)
    return number


def modules() -> Iterator[tuple[str, Path]]:
    """The part of the package (its folder, or the module at its top) and the path of each module."""
    for folder in ("models", "guides", PACKAGE):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder)
            if folder != PACKAGE:
                yield folder, path
            elif inside != Path("__init__.py"):  # the package itself offers what is at the top
                yield inside.parts[0].removesuffix(".py"), path


def imported_parts(path: Path) -> Iterator[tuple[str, int]]:
    """The parts that a module imports from, with the line: anywhere in it, also under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [
                f"{node.module}.{name.name}" if node.module == PACKAGE else str(node.module) for name in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            part = rest.partition(".")[0]
            if first == PACKAGE and part not in ("", "__version__"):
                yield part, node.lineno


@cache
def imports() -> list[tuple[str, str, str]]:
    return [
        (part, other, f"{path.relative_to(ROOT)}:{line} imports {other}")
        for part, path in modules()
        for other, line in imported_parts(path)
    ]


def test_every_part_has_a_layer() -> None:
    named = {name for names in LAYERS for name in names}
    assert {part for part, _ in modules()} <= named


def test_nothing_imports_from_above() -> None:
    wrong = [place for part, other, place in imports() if layer(other) < layer(part)]
    assert wrong == []


def test_the_tasks_are_apart() -> None:
    assert [place for part, other, place in imports() if (part, other) in APART] == []
