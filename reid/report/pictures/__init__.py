"""Pictures of the report: thumbnails, grids of images, heatmaps, and what covering a region does."""
