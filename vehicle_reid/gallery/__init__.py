"""Galleries: embedded images in memory and on disk, with exact and approximate search."""
