from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

Command = Callable[..., tuple[int, str, str]]


def test_tracks_and_stems_become_pages(mixdvae: Command, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks.txt"
    tracks.write_text("".join(f"{frame},{n},{10 * n},20,8,9,1,-1,-1,-1\n" for frame in (4, 5) for n in (1, 2)))
    page = tmp_path / "tracks.html"
    code, out, err = mixdvae("report", tracks, "-o", page, "--names", "Ann,Bob", "--size", "64x48")
    assert (code, err) == (0, "")
    assert out == f"Written: {page}, 0.02 MB: open it in a browser.\n"
    assert '"names": ["Ann", "Bob"]' in page.read_text()
    assert '"width": 64.0' in page.read_text()

    folder = tmp_path / "mix"
    folder.mkdir()
    soundfile.write(folder / "flute.wav", np.full(800, 0.1), 8000)
    assert mixdvae("report", folder, "-o", tmp_path / "mix.html", "-q") == (0, "", "")
    assert '"name": "flute"' in (tmp_path / "mix.html").read_text()

    for arguments, message in (
        ((tracks, "-o", page), "exists already"),
        ((tracks, "-o", tmp_path / "page.txt"), "does not end in .html"),
        ((tracks, "-o", page, "--overwrite", "--names", "Ann"), "1 name for 2 sources"),
        ((folder, "-o", page, "--overwrite", "--names", "Ann"), "--names is for tracks"),
        ((tmp_path, "-o", page, "--overwrite"), "holds no stems"),
        ((tmp_path / "no.txt", "-o", page, "--overwrite"), "does not exist"),
    ):
        code, out, err = mixdvae("report", *arguments)
        assert (code, out) == (2, "")
        assert message in err
