"""Whatever weights, checkpoints or declarations hold: they are what they were, or one sentence; and no code runs."""

import io
import json
import struct
from importlib.resources import files
from typing import Any

import pytest
import torch
from fuzz.effort import tried
from fuzz.inputs import HOSTILE_NUMBERS, altered
from fuzz.tracks import check_tracks
from fuzz.workplace import Workplace, run_command, workplace
from hypothesis import given
from hypothesis import strategies as st

from pyro_mixdvae.declaration.families import FAMILIES

ROWS = "".join(f"{t},-1,{10 + 3 * t},{20 + n * 90},30,60,1\n" for t in range(1, 7) for n in range(2))
SHIPPED = ["boxes", "constant-velocity", "autoregressive"]
VALUES = [
    None,
    -1,
    0,
    1,
    2,
    14000,
    10**9,
    2**63,
    2**70,
    0.5,
    -0.0,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    {},
]
VALUES += [True, [1, 2], [2**40], {"a": 1}, "a" * 1000]


def _shipped(name: str) -> bytes:
    return (files("pyro_mixdvae.weights") / f"{name}.safetensors").read_bytes()


def _track(place: Workplace, *options: object) -> int:
    source, result = place.give("det.txt", ROWS), place.output / "a.txt"
    code = place.run("track", source, "-n2", "-o", result, *options).code
    if code == 0:
        check_tracks(result, 2)
    return code


@pytest.mark.usefixtures("unrendered")
@tried(6)
@given(st.sampled_from(SHIPPED).flatmap(lambda name: altered(_shipped(name))))
def test_damaged_weights(data: bytes) -> None:
    with workplace() as place:
        _track(place, "--weights", place.give("a.safetensors", data))


@st.composite
def changed_headers(draw: st.DrawFn) -> bytes:
    """Weights whose header is JSON still, and says something else somewhere."""
    data = _shipped(draw(st.sampled_from(SHIPPED)))
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    _change(draw, header)
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data[8 + length :]


def _change(draw: st.DrawFn, node: Any) -> None:
    """Another value in one place of nested lists and dictionaries, also in those that are JSON in a string."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = draw(st.sampled_from(keys))
    inner = node[key]
    if isinstance(inner, (dict, list)) and inner and draw(st.integers(0, 4)):
        _change(draw, inner)
    elif isinstance(inner, str) and inner[:1] in "{[" and draw(st.integers(0, 9)):
        decoded = json.loads(inner)
        if decoded:
            _change(draw, decoded)
        node[key] = json.dumps(decoded)
    elif isinstance(node, dict) and not draw(st.integers(0, 5)):
        del node[key]
    else:
        node[key] = draw(st.sampled_from(VALUES))


@pytest.mark.usefixtures("unrendered")
@tried(15)
@given(changed_headers())
def test_weights_that_say_something_else(data: bytes) -> None:
    with workplace() as place:
        _track(place, "--weights", place.give("a.safetensors", data))


@st.composite
def state_dicts(draw: st.DrawFn) -> bytes:
    """Files of torch: tensors by names, some as the authors' code has them."""
    names = ["mlp_x_h.0.weight", "mlp_x_h.linear0.weight", "rnn_h.weight_ih_l0", "x", "state_dict", "model", 3]
    shapes = st.lists(st.integers(0, 5), max_size=3)
    tensor = shapes.map(lambda shape: torch.full(shape, draw(st.sampled_from([0.1, float("nan"), 1e38]))))
    value = st.one_of(tensor, st.sampled_from(VALUES))
    content = draw(st.one_of(value, st.dictionaries(st.sampled_from(names), value, max_size=5)))
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return draw(altered(buffer.getvalue(), 1))


@tried(8)
@given(state_dicts())
def test_checkpoints_of_the_authors(data: bytes) -> None:
    with workplace() as place:
        place.run("import-weights", place.give("a.pt", data), "-o", place.output / "a.safetensors")


SMALL = ("--network", "constant-velocity", "--epochs", 3, "--count", 24, "--frames", 8, "--batch-size", 8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of a training of constant velocity that was stopped after the first epoch."""
    from pyro_mixdvae.training import loop

    path = tmp_path_factory.mktemp("training") / "a.safetensors"
    write = loop.write_checkpoint

    def stop(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "write_checkpoint", stop)
        assert run_command(["train", "boxes", "-o", str(path), *map(str, SMALL)]).code == 130
    return path.with_suffix(".checkpoint").read_bytes()


@pytest.mark.usefixtures("unrendered")
@tried(8)
@given(st.data())
def test_damaged_checkpoints(checkpoint: bytes, data: st.DataObject) -> None:
    with workplace() as place:
        place.output.mkdir()
        kept = place.output / "a.checkpoint"
        kept.write_bytes(data.draw(altered(checkpoint)))
        place.run("train", "boxes", "-o", place.output / "a.safetensors", *SMALL, "--resume")


@st.composite
def declarations(draw: st.DrawFn) -> str:
    """A model in TOML: families that exist with options that may, and some that do not."""
    lines = []
    for table in draw(st.lists(st.sampled_from([*FAMILIES]), max_size=4, unique=True)):
        lines.append(f"[{table}]")
        lines.append(f'family = "{draw(st.sampled_from([*FAMILIES[table], "mine:Own", "nothing"]))}"')
        for option in draw(st.lists(st.sampled_from(OPTIONS), max_size=2, unique=True)):
            lines.append(f"{option} = {draw(st.sampled_from(TOML_VALUES))}")
    if draw(st.integers(0, 3)) == 0:
        lines.insert(
            0, f"{draw(st.sampled_from(['n_sources', 'seed', 'colour']))} = {draw(st.sampled_from(TOML_VALUES))}"
        )
    return "\n".join(lines)


OPTIONS = ["r", "df", "delta", "scale", "n_iterations", "n_steps", "learning_rate", "weights", "alpha", "hide", "share"]
OPTIONS += ["least", "start_spread", "step", "n_particles", "clutter", "detection", "size", "temperature"]
TOML_VALUES = ["1", "0", "-1", "0.5", "1e308", "nan", "inf", '"x"', "[1, 2]", "true", "{a = 1}", "9223372036854775807"]
TOML_VALUES += [text for text in HOSTILE_NUMBERS if text.strip()]


@pytest.mark.usefixtures("unrendered")
@tried(25)
@given(declarations(), st.booleans())
def test_declarations(text: str, is_tracked: bool) -> None:
    with workplace() as place:
        model = place.give("a.toml", text)
        if place.run("model", "show", model).code == 0 and is_tracked and "n_steps" not in text:
            _track(place, "--model", model, "--set", "inference.family=coordinate")


@pytest.mark.usefixtures("unrendered")
@tried(6)
@given(st.binary(max_size=200))
def test_any_bytes_as_anything(data: bytes) -> None:
    with workplace() as place:
        path = place.give("a.safetensors", data)
        _track(place, "--weights", path)
        place.run("track", place.inputs / "a.safetensors", "-n", 2, "-o", place.output / "b.txt")
        place.run("model", "show", path)
        place.run("eval", path, "--gt", path)
        place.run("separate", path, "-o", place.output)
        place.run("check-elbo", path, "-n", 2)
        place.run("check-elbo", "--drawn", "--model", path, "--frames", 2, "--only", "terms")
