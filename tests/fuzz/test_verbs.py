"""A new verb has to be tried here too."""

from pathlib import Path

from pyro_mixdvae.cli.main import app

READ_NOTHING_NEW = {"demo", "doctor", "bench"}


def test_every_verb_is_reached() -> None:
    verbs = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    tried = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py") if path != Path(__file__))
    assert {verb for verb in verbs if f'"{verb}",' not in tried} == READ_NOTHING_NEW
