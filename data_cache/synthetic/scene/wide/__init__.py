"""Pictures of any place and weather by any camera, to train a detector; see `render_wide`."""
