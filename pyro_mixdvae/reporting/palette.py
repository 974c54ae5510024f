"""The colours of sources, in pictures, films and pages."""

# Okabe and Ito's colours, which differ for colour-blind readers too, and three darker ones for N up to 10.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#882255",
    "#999933",
    "#332288",
)
CLUTTER = "#9a9a9a"
DOUBT = "#D55E00"
MARK = "#F0E442"
"""Of doubt, where boxes have colours of their own: no source has it."""


def colour_of(source: int) -> str:
    """The colour of a source, counted from 0; they repeat after ten."""
    return PALETTE[source % len(PALETTE)]
