"""``mixdvae check-elbo``: one page of verdicts on a model, its guide, and what somebody derived."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Context
from typer.core import TyperCommand

from pyro_mixdvae.cli.model_options import ModelFile, Sets, task_of_options
from pyro_mixdvae.cli.options import STANDARD, Overwrite, at_least, use_one_thread
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, write_together

if TYPE_CHECKING:
    from pyro_mixdvae.inference.preset import Preset
    from pyro_mixdvae.models.scene import Scene


class OptionalFile(TyperCommand):
    """A command whose `--json` may stand without a file: it is then printed."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Write `--json -` where no file follows."""
        written = []
        for argument, after in zip(args, [*args, None][1:], strict=True):
            written.append(argument)
            is_file = after is not None and (after == "-" or after.endswith(".json"))
            if argument == "--json" and not is_file:
                written.append("-")
        return super().parse_args(ctx, written)


def check_elbo(
    sequence: Annotated[
        Path | None,
        typer.Argument(
            metavar="SEQ", help="Detections, as mixdvae track takes them, or a sound file.", show_default=False
        ),
    ] = None,
    drawn: Annotated[bool, typer.Option("--drawn", help="Check on a scene that is drawn from the model.")] = False,
    preset: Annotated[
        str | None, typer.Option(help="Which --model changes; default, or additive of sounds.", show_default=False)
    ] = None,
    model: ModelFile = None,
    sets: Sets = None,
    n_sources: Annotated[
        int | None, typer.Option("--n-sources", "-n", help="N; that of --model, or 2.", show_default=False)
    ] = None,
    frames: Annotated[int, typer.Option("--frames", help="So many frames are looked at.")] = 3,
    claim: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            show_default=False,
            help="Your terms: a function (model, scene, guide) -> {name: number or tensor [B]}, or a dictionary.",
        ),
    ] = None,
    update: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:NAME",
            show_default=False,
            help="Your update: a function (model, scene, guide) -> logits of q(w), or a Chain; several one by one.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="GROUP",
            show_default=False,
            help="One group of verdicts: terms, judge, slopes, w, sites, calibration, path; several one by one.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="[FILE]", help="The verdicts as JSON: printed, or into FILE.json.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Check a derivation: every term of the ELBO, every update, q(w), masks, sites, calibration and the path.

    A row says what is claimed, what it is held against and how that was found, the difference, and a verdict, with a
    hint at what the difference looks like. Exit code 0: nothing is wrong; 1: something is; 2: bad input.

    The model is a preset, under what --model and --set change of it; classes of your own are named there as
    "my_module:MyClass". In double precision, on a few frames: a small scene takes less than a minute.
    """
    at_least("--n-sources", n_sources, 1)
    at_least("--frames", frames, 1)
    at_least("--seed", seed, 0)
    if sequence is None and not drawn:
        raise InputError("nothing says what to check on: give a sequence, or --drawn for a scene drawn from the model.")
    if sequence is not None and drawn:
        raise InputError(f"{sequence} is given, and --drawn too: leave one of them out.")
    if json_file is not None and json_file != STANDARD:
        check_outputs([json_file], overwrite, inputs=[path for path in (sequence, model) if path is not None])
    from pyro_mixdvae.declaration.shipped import PRESETS, declared

    task = task_of_options(preset, model, sets or ())
    declaration = declared(preset or PRESETS[task][0], model, sets or (), task=task)
    use_one_thread()
    from pyro_mixdvae.check.checking import check_elbo as check
    from pyro_mixdvae.check.report import GROUPS
    from pyro_mixdvae.declaration.lookup import find_object
    from pyro_mixdvae.reporting.tables import json_text

    groups = _groups(only or [], GROUPS)
    claims: Any = None if claim is None else find_object(claim)
    updates = [_function(name, find_object(name)) for name in update or []] or None
    if task == "sounds":
        from pyro_mixdvae.separation.presets import build as build_sounds

        built = build_sounds(declaration)
        n_sources = len(built.model.sources.each())
    else:
        from pyro_mixdvae.tracking.presets import build

        n_sources = n_sources or declaration.setting("n_sources") or 2
        built = build(declaration, n_sources)
    scene = _scene(sequence, built, n_sources, frames, seed, task == "sounds")
    found = check(built.model, scene, built.guide, built.algorithm, claims, updates, groups, seed)
    if json_file == STANDARD:
        print(json_text(found.to_json()), end="")
    else:
        _print(found)
        if json_file is not None:
            write_together({json_file: json_text(found.to_json())})
    if not found.is_right:
        raise typer.Exit(1)


def _function(name: str, found: object) -> Callable[..., Any]:
    if not callable(found):
        raise InputError(f"--update {name}: it is a {type(found).__name__}, and no function (model, scene, guide).")
    return found


def _groups(only: list[str], groups: tuple[str, ...]) -> tuple[str, ...]:
    """Groups by a word of their names."""
    if not only:
        return groups
    found = []
    for word in only:
        own = [group for group in groups if word.lower() in (group.lower(), *group.lower().split())]
        if not own:
            raise InputError(f"--only {word}: there are {', '.join(group.lower() for group in groups)}.")
        found += own
    return tuple(found)


def _scene(
    sequence: Path | None, preset: "Preset", n_sources: int, n_frames: int, seed: int, is_sound: bool
) -> "Scene":
    """The first frames of a sequence from where its sources start, or a scene that is drawn."""
    if sequence is None:
        from pyro_mixdvae.check.drawn import drawn_scene

        return drawn_scene(
            preset.model, n_sources, n_frames, seed=seed, representation=None if is_sound else preset.representation
        ).scene
    if is_sound:
        import torch

        from pyro_mixdvae.models import sound_scene
        from pyro_mixdvae.separation.audio.resampling import read_mono

        stft = preset.representation
        samples = torch.as_tensor(read_mono(sequence, stft.rate)).float()
        spectrum = stft.spectrum(samples / samples.abs().max().clamp(min=1e-9))
        loud = int(spectrum.abs().square().sum(-1).argmax())
        first = max(0, min(loud - n_frames // 2, len(spectrum) - n_frames))
        return sound_scene(spectrum[first : first + n_frames].unsqueeze(0), n_sources)
    from pyro_mixdvae.tracking.files.detections import read_detections
    from pyro_mixdvae.tracking.scenes import make_scene, make_sequence

    detections = read_detections(sequence)
    whole = make_sequence(detections.boxes, n_sources, detections.size, detections.confidence)
    boxes = whole.boxes[whole.first : whole.first + n_frames]
    scene, _ = make_scene([whole._replace(boxes=boxes, first=0)], preset.representation)
    return scene


def _print(found: Any) -> None:
    from rich.console import Console

    console = Console()
    width = max(console.width, 150) if not console.is_terminal else console.width
    Console(width=width, highlight=False).print(found.grid())
    every = [row.verdict for row in found.rows]
    print(", ".join(f"{every.count(word)} {word}" for word in ("right", "wrong", "approximate", "not checked")) + ".")
