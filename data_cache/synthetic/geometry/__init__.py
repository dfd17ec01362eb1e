"""Cameras, meshes, texture atlases and rasterisation."""
