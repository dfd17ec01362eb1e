"""One picture of a vehicle: pose, light, surroundings, occluders, camera effects and part boxes."""
