"""One photograph: surroundings, light, occluders, lens, part boxes."""
