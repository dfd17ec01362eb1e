"""The commands `gallery`, `export` and `serve`."""
