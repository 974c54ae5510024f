"""The code map in CONTRIBUTING.md names every module, and none that does not exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("models", "guides", "pyro_mixdvae")


def test_code_map_is_the_list_of_modules() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    mapped = re.findall(r"^- `([\w/]+\.py)`: \S", text, flags=re.M)
    modules = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert sorted(modules - set(mapped)) == [], "in no line of the code map"
    assert sorted(set(mapped) - modules) == [], "in the code map, and nowhere else"
    assert len(mapped) == len(set(mapped)), "twice in the code map"


def test_paths_in_the_documents_exist() -> None:
    for document in ("CONTRIBUTING.md", "docs/model.md", "README.md"):
        text = (ROOT / document).read_text()
        named = re.findall(r"`((?:models|guides|pyro_mixdvae|tests|benchmarks|docs)/[\w/.]+\.(?:py|md|json))`", text)
        assert [path for path in named if not (ROOT / path).exists()] == [], document
