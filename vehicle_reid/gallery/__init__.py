"""Galleries: embedded images on disk, exact and approximate search."""
