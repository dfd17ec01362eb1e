"""The place around a vehicle: ground, walls, standing things and the distant panorama, as linear light."""
