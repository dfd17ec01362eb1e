"""Cameras, meshes, textures and hidden surface removal."""
