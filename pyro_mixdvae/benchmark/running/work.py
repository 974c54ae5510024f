"""What a benchmark keeps while it runs, so that the same command goes on after a kill."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pyro_mixdvae.benchmark.running.blocks import Block, BlockResult, read_result
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import write_atomically

_SETTINGS = "run.json"


def open_work(folder: Path, settings: Mapping[str, Any], overwrite: bool) -> bool:
    """Make the folder of a run, or go on with one of the same settings.

    Args:
        folder: of the results so far.
        settings: all that results depend on, JSON values; those of an earlier run must be equal.
        overwrite: remove the results of a run with other settings.

    Returns:
        whether there was a run to go on with.

    Raises:
        InputError: there are results of other settings, or the folder is not of a benchmark.
    """
    path = folder / _SETTINGS
    if folder.exists() and not path.exists():
        raise InputError(f"{folder} is not of a benchmark: give another OUT.")
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(settings))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if not changed:
            return True
        if not overwrite:
            name = changed[0]
            raise InputError(
                f"{folder} holds results of other options ({name} is {now.get(name)}, and was {before.get(name)}): "
                "give the same options to go on, another OUT, or --overwrite to start anew."
            )
        shutil.rmtree(folder)
    write_atomically(path, json.dumps(settings, indent=2) + "\n")
    return False


def results_so_far(folder: Path, blocks: Iterable[Block]) -> dict[str, BlockResult]:
    """The results of the blocks that are done, by the name of their file.

    Raises:
        InputError: a file holds results of other samples.
    """
    found = ((block.file_name, read_result(folder, block)) for block in blocks)
    return {name: result for name, result in found if result is not None}


def close_work(folder: Path) -> None:
    """Remove the folder of a run that is complete."""
    shutil.rmtree(folder)
