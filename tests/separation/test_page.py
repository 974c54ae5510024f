"""The page of stems, and what a person does there, in a browser."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import driven, needs_browser

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.pages import SoundPage, pictures, read_stems

RATE = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tones of two seconds, one twice as loud."""
    path = tmp_path / "out" / "duet"
    path.mkdir(parents=True)
    for name, pitch, level in (("low", 500, 0.8), ("high", 3000, 0.4)):
        soundfile.write(path / f"{name}.wav", level * np.sin(2 * np.pi * pitch * np.arange(2 * RATE) / RATE), RATE)
    return path


def test_stems_are_those_of_the_folder(folder: Path) -> None:
    stems = read_stems(folder)
    assert (stems.title, stems.names, stems.seconds) == ("duet", ("high", "low"), 2)
    page = SoundPage(stems).html()
    assert "80 % of the power" in page
    assert "https" not in page
    soundfile.write(folder / "other.wav", np.zeros(10), RATE)
    with pytest.raises(InputError, match=r"other\.wav has another rate, length"):
        read_stems(folder)
    with pytest.raises(InputError, match="holds no stems"):
        read_stems(folder.parent)


PRESENCE = "name,from,to,probability\nlow,0.5,1.25,.9\nlow,1.5,2,.8\n"


def test_when_stems_are_silent_is_that_of_the_table_beside_them(folder: Path) -> None:
    (folder / "presence.csv").write_text(PRESENCE)
    stems = read_stems(folder)
    assert stems.silences("low") == [(0, 0.5), (1.25, 1.5)]
    assert stems.silences("high") == []
    page = SoundPage(stems).html()
    assert "80 % of the power, sounds 62 % of the time" in page
    assert '20 % of the power"' in page
    (folder / "presence.csv").write_text("name,from,to\nlow,0,0\n")
    assert read_stems(folder).silences("low") == [(0, 2)]
    (folder / "presence.csv").write_text("name,from,to\nlow,1,1.5\nlow,0.5,1.25\nlow,3,4\n")
    assert read_stems(folder).silences("low") == [(0, 0.5), (1.5, 2)]  # of two seconds, whatever is said of more
    (folder / "presence.csv").write_text("name,from,to\nlow,0,x\n")
    with pytest.raises(InputError, match=r"presence\.csv, line 2: to is 'x'"):
        read_stems(folder)


@needs_browser
def test_silence_is_shaded(folder: Path, tmp_path: Path) -> None:
    steps = """
    const named = (shade) => shade.closest(".stem").querySelector("b").textContent;
    const shades = [...document.querySelectorAll(".shade")];
    return {
      shaded: shades.map((shade) => [named(shade), shade.style.left, shade.style.width]),
      told: !byId("shaded").hidden,
    };
    """
    (folder / "presence.csv").write_text(PRESENCE)
    told = driven(SoundPage(read_stems(folder)).html(), steps, tmp_path)
    assert told == {"shaded": [["low", "0%", "25%"], ["low", "62.5%", "12.5%"]], "told": True}


def test_pictures_are_no_larger_than_a_screen() -> None:
    import base64
    import io

    from PIL import Image

    (picture,) = pictures(np.random.default_rng(0).standard_normal((1, 30 * 44100)).astype(np.float32), 44100)
    image = Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1])))
    assert image.width <= 1600
    assert image.height <= 256


@needs_browser
def test_a_person_plays_solos_mutes_and_seeks(folder: Path, tmp_path: Path) -> None:
    steps = """
    const told = {}, buttons = [...byId("stems").querySelectorAll("button")];
    const gains = () => stems.map((s) => s.gain.gain.value);
    told.shaded = [!byId("shaded").hidden, document.querySelectorAll(".shade").length];
    byId("play").click();
    for (let i = 0; i < 200 && here() === 0; i++) await wait(100);
    told.played = here() > 0;
    told.text = byId("play").textContent;
    told.all = gains();
    buttons[1].click();
    told.solo = gains();
    buttons[1].click();
    buttons[2].click();
    told.mute = gains();
    byId("play").click();
    byId("slider").value = 500;
    byId("slider").dispatchEvent(new Event("input"));
    told.at = here();
    told.head = stems[0].head.style.left;
    const picture = document.querySelector(".picture"), edge = picture.getBoundingClientRect();
    picture.dispatchEvent(new MouseEvent("click", { clientX: edge.left + edge.width / 4, clientY: edge.top + 1 }));
    told.clicked = here();
    told.peaks = stems.map((s) => Math.max(...s.buffer.getChannelData(0)));
    told.text = [told.text, byId("play").textContent];
    return told;
    """
    told = driven(SoundPage(read_stems(folder)).html(), steps, tmp_path)
    assert isinstance(told, dict), told
    assert told["shaded"] == [False, 0]
    assert told["played"]
    assert told["text"] == ["Pause", "Play"]
    assert told["all"] == [1, 1]
    assert told["solo"] == [1, 0]
    assert told["mute"] == [1, 0]
    assert told["at"] == pytest.approx(1)
    assert told["head"] == "50%"
    assert told["clicked"] == pytest.approx(0.5, abs=0.01)
    assert told["peaks"] == pytest.approx([0.5, 1], abs=0.01)
