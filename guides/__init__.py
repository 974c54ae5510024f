"""Guides: q(w|o), q(s|o) and q(z|s), under the site names of the models."""

from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.guides.contract import Guide, Program
from pyro_mixdvae.guides.factorised import Factorised
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.guides.single_source import SingleSourceGuide

__all__ = ["AdditiveGuide", "Collapsed", "Factorised", "Guide", "MeanField", "Program", "SingleSourceGuide"]
