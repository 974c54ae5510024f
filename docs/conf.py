"""The site: ``make docs`` builds it into ``build/site``, from this folder, the notebooks and the code."""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import pages  # noqa: E402 (beside this file)

from pyro_mixdvae import __version__  # noqa: E402

project = "pyro-mixdvae"
author = "the authors of pyro-mixdvae"
copyright = f"{author}, Apache-2.0"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build"]
nitpicky = False
suppress_warnings = ["mystnb.unknown_mime_type"]  # widgets have a picture beside them

html_theme = "sphinx_book_theme"
html_title = "pyro-mixdvae"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
# Notebooks are executed by `make lessons` and by the tests; their outputs stand in git.
nb_execution_mode = "off"

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autosummary_generate = True

linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1)"]


def setup(app: Any) -> None:
    """Write the pages that come from the code, and take the notebooks in."""
    pages.write(HERE)
    app.connect("autodoc-process-docstring", pages.as_restructured_text)
