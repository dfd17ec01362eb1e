"""One vehicle as triangles and paint: shell, cabin, lamps, wheels, plates."""
