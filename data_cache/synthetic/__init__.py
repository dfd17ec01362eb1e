"""Synthetic vehicles: parametric 3-D models in look-alike fleets, photographed by road-side cameras, parts boxed."""

from data_cache.synthetic.dataset import write_synthetic
from data_cache.synthetic.layouts import LAYOUTS
from data_cache.synthetic.preview import write_preview
from data_cache.synthetic.settings import FIXED, RENDERER_VERSION, SyntheticSettings

__all__ = ["FIXED", "LAYOUTS", "RENDERER_VERSION", "SyntheticSettings", "write_preview", "write_synthetic"]
