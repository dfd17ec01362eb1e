"""Synthetic vehicles: parametric 3-D models in look-alike fleets, photographed by road-side cameras, parts boxed."""

from data_cache.synthetic.dataset.layouts import LAYOUTS
from data_cache.synthetic.dataset.preview import write_preview
from data_cache.synthetic.dataset.settings import FIXED, RENDERER_VERSION, SyntheticSettings
from data_cache.synthetic.dataset.writing import write_synthetic

__all__ = ["FIXED", "LAYOUTS", "RENDERER_VERSION", "SyntheticSettings", "write_preview", "write_synthetic"]
