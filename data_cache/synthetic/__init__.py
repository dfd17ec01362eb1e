"""Render a re-identification data set: fleets of look-alike vehicles seen by road-side cameras, with exact part boxes.

Each subpackage imports only those above it:

- geometry: meshes, texture atlas, cameras, rasterisation; knows nothing about vehicles
- design: samples what a vehicle looks like; a fleet shares its Design, each vehicle has its own Individual traits
- vehicle: builds the Model of a vehicle (meshes, painted textures, numbered parts)
- scene: renders one Picture of a Model (pose, light, surroundings, occluders, camera effects, part boxes)
- dataset: plans the shots, renders them in parallel and writes them in the layout of a benchmark

design, vehicle and scene have a folder `wide` for the variety of that name; docs/architecture.md compares the
two.

`sample_*` draws random values, `paint_*` fills textures or pictures, `build_*` makes meshes. Every fleet, vehicle and
picture has its own random stream, so the bytes do not depend on the number of workers. Raise a variety's number in
RENDERER_VERSIONS if the same settings no longer give the same bytes.
"""

from data_cache.synthetic.dataset.layouts import LAYOUTS
from data_cache.synthetic.dataset.preview import write_preview
from data_cache.synthetic.dataset.settings import FIXED, RENDERER_VERSIONS, SyntheticSettings
from data_cache.synthetic.dataset.writing import write_synthetic

__all__ = ["FIXED", "LAYOUTS", "RENDERER_VERSIONS", "SyntheticSettings", "write_preview", "write_synthetic"]
