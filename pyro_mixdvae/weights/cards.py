"""What a weights file says about where it comes from. No dates: the same run is to give the same bytes."""

import subprocess
from pathlib import Path
from typing import Any

from torch import nn

import pyro_mixdvae
from pyro_mixdvae.training.loop import Pretrained, Score

SYNTHETIC = "Apache-2.0, as the program: trained on synthetic trajectories only."
RECORDED = "Trained on the files named under data: their licence may bind the use of these weights."


def training_card(
    network: nn.Module, data: dict[str, Any], schedule: dict[str, Any], seed: int, result: Pretrained, score: Score
) -> dict[str, Any]:
    """The card of weights that `mixdvae train` made.

    Its scores are of what was held out.
    """
    name = score.name.lower().replace(" ", "_")
    return {
        "data": data,
        "schedule": schedule,
        "seed": seed,
        "source": source_version(),
        "epochs": len(result.curve),
        "best_epoch": result.best_epoch,
        f"best_{name}": result.best_score,
        f"final_{name}": result.curve[-1].validation,
        "number_of_weights": sum(value.numel() for value in network.state_dict().values()),
        "licence": RECORDED if "files" in data else SYNTHETIC,
    }


def source_version() -> str:
    """The git commit of the running source, with `+` if its files were changed since; else the version."""
    folder = Path(pyro_mixdvae.__file__).parent
    # An installed copy may lie in a repository of something else: it counts only if it is tracked there.
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "HEAD") if tracked else None
    if commit is None:
        return f"version {pyro_mixdvae.__version__}"
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ":/*.py")
    return f"commit {commit}{'+' if changed else ''}"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()
