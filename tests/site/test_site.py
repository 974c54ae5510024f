"""The built site in a browser: pages, formulas, players, search. Skipped where `make docs` was not run."""

import re
import subprocess
from pathlib import Path

import pytest
from browser import BROWSER, QUIET, needs_browser

SITE = Path(__file__).parents[2] / "build" / "site"
OFFLINE = [*QUIET, "--allow-file-access-from-files"]

pytestmark = [
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the site is not built: make docs"),
    needs_browser,
]


@pytest.fixture
def shown(tmp_path: Path):
    """The page as a browser has it when its scripts have run."""

    def show(page: str) -> str:
        command = [BROWSER, *OFFLINE, f"--user-data-dir={tmp_path}", "--virtual-time-budget=15000", "--dump-dom"]
        ended = subprocess.run([*command, f"file://{SITE}/{page}"], capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr[-1000:]
        return ended.stdout

    return show


def test_formulas_are_set(shown) -> None:
    page = shown("index.html")
    assert "<mjx-container" in page
    assert "<mjx-merror" not in page


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ("how_to/own_detections.html", "det.txt"),
        ("reference/commands.html", "check-elbo"),
        ("reference/families.html", "student_t"),
        ("reference/api.html", "pyro_mixdvae.inference.infer"),
        ("reference/glossary.html", "responsibilities"),
        ("model.html", "Local search"),
        ("project/benchmarks.html", "MOT17"),
    ],
)
def test_pages_hold_what_they_are_for(shown, page: str, word: str) -> None:
    assert word in shown(page)


def test_every_lesson_has_a_page_with_pictures_and_a_place_in_the_list(shown) -> None:
    lessons = sorted((SITE / "lessons").glob("*.html"))
    assert len(lessons) == 12
    contents = (SITE / "tutorials.html").read_text()
    for lesson in lessons:
        page = lesson.read_text()
        assert f"lessons/{lesson.name}" in contents
        assert re.search(r'<img[^>]+src="\.\./_images/', page), f"{lesson.name} has no picture"


def test_sounds_can_be_played(shown) -> None:
    page = shown("lessons/12_pulling_sounds_apart.html")
    assert re.search(r"<audio[^>]*controls", page)
    assert "data:audio/" in page


def test_search_finds(shown) -> None:
    page = shown("search.html?q=responsibilities")
    found = re.search(r'<ul[^>]*class="search"[^>]*>(.*?)</ul>', page, flags=re.S)
    assert found
    assert "glossary.html" in found[1]


def test_no_link_within_the_site_is_broken() -> None:
    broken = []
    pages = [page for page in SITE.rglob("*.html") if "_static" not in page.parts]
    for page in pages:
        for target in re.findall(r'href="([^"#?]+)', page.read_text()):
            if "://" not in target and not target.startswith(("mailto:", "data:")):
                found = (page.parent / target).resolve()
                if not found.exists():
                    broken.append((page.relative_to(SITE).as_posix(), target))
    assert not broken
