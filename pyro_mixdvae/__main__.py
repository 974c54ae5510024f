"""``python -m pyro_mixdvae`` is ``mixdvae``."""

from pyro_mixdvae.cli.main import run

if __name__ == "__main__":
    run()
