"""What a declared model says when it runs: its sample statements, their shapes and plates, on a small scene."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models import Scene
from pyro_mixdvae.process_state import alone, drawing, seeded
from pyro_mixdvae.representations.stft import STFT


class Site(NamedTuple):
    """One statement.

    Attributes:
        name: of the site.
        kind: "latent", "observed", "factor", "deterministic".
        distribution: its class.
        batch, event: shapes.
        plates: the names of the plates that it is in, outermost first.
    """

    name: str
    kind: str
    distribution: str
    batch: tuple[int, ...]
    event: tuple[int, ...]
    plates: tuple[str, ...]


def small_scene(preset: Preset, n_sources: int, n_frames: int = 3, n_detections: int | None = None) -> Scene:
    """Sources that stand still, T = 3; a box detected for each, or the F frequencies of a spectrum."""
    dtype = torch.get_default_dtype()
    if isinstance(preset.representation, STFT):
        spectrum = torch.ones(1, n_frames, preset.representation.n_frequencies, 1, dtype=dtype)
        start = torch.zeros(1, n_sources, 2 * preset.representation.n_frequencies, dtype=dtype)
        return Scene.of(torch.complex(spectrum, spectrum), start)
    corner = torch.linspace(0.1, 0.7, n_sources, dtype=dtype)
    boxes = torch.stack([corner, corner, corner + 0.1, corner + 0.2], -1)
    start = preset.representation.content(boxes).unsqueeze(0)
    return Scene.of(start.unsqueeze(1).expand(-1, n_frames, n_detections or n_sources, -1), start)


def sites(program: Any, *arguments: Any) -> Iterator[Site]:
    """The statements of a model, or of a guide, in the order in which they run."""
    with drawing(seeded(0)), torch.no_grad():
        trace = poutine.trace(program).get_trace(*arguments)
    for name, node in trace.nodes.items():
        if node["type"] != "sample" or type(node["fn"]).__name__ == "_Subsample":
            continue
        frames = sorted(node["cond_indep_stack"], key=lambda frame: frame.dim)
        density = node["fn"]
        while hasattr(density, "base_dist") and not hasattr(type(density), "_is_final"):
            density = density.base_dist
        yield Site(
            name,
            _kind(node),
            type(density).__name__,
            tuple(node["fn"].batch_shape),
            tuple(node["fn"].event_shape),
            tuple(frame.name for frame in frames),
        )


def model_sites(preset: Preset, n_sources: int) -> list[Site]:
    """Of p(o, w, s, z)."""
    return list(sites(preset.model, small_scene(preset, n_sources)))


def guide_sites(preset: Preset, n_sources: int) -> list[Site]:
    """Of q."""
    scene = small_scene(preset, n_sources)
    guide = preset.guide(preset.model, scene) if isinstance(preset.guide, type) else preset.guide
    with alone, pyro.settings.context(module_local_params=isinstance(preset.guide, type)):
        return list(sites(guide, scene))


def render(preset: Preset, n_sources: int, suffix: str) -> bytes:
    """The model's graph as a file with some suffix (.pdf, .svg, .png), by `pyro.render_model`.

    Raises:
        InputError: graphviz, which draws it, is not installed, or draws no such files.
    """
    try:
        with drawing(seeded(0)):
            arguments = (small_scene(preset, n_sources),)
            graph = pyro.render_model(preset.model, model_args=arguments, render_distributions=True)
        return _piped(graph, suffix)
    except ImportError as error:
        raise InputError(
            "--render needs graphviz: `pip install graphviz`, and the program of that name (apt install graphviz)."
        ) from error
    except InputError:
        raise
    except Exception as error:
        if type(error).__name__ in ("ExecutableNotFound", "FileNotFoundError"):
            raise InputError(
                "--render needs the program dot of graphviz, which is not on the path: apt install graphviz, say."
            ) from error
        raise


def _piped(graph: Any, suffix: str) -> bytes:
    try:
        content: bytes = graph.pipe(format=suffix.removeprefix("."))
    except ValueError as error:
        raise InputError(f"--render draws no files that end in {suffix!r}: give .pdf, .svg or .png.") from error
    return content


def _kind(node: dict[str, Any]) -> str:
    infer = node["infer"]
    if infer.get("_deterministic"):
        return "deterministic"
    if type(node["fn"]).__name__ == "Unit":
        return "factor"
    return "observed" if node["is_observed"] else "latent"
