"""Guides: q(w|o), q(s|o) and q(z|s), under the site names of the models."""

from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.guides.single_source import SingleSourceGuide
from pyro_mixdvae.guides.source_guide import SourceGuide

__all__ = ["AdditiveGuide", "MeanField", "SingleSourceGuide", "SourceGuide"]
