"""Where a benchmark's results go."""

import json
from pathlib import Path
from typing import Any


def write(folder: Path, name: str, markdown: str, results: Any) -> None:
    """Write ``name.md`` and ``name.json`` into a folder, made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(markdown + "\n", encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
