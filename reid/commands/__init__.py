"""The commands `train`, `features`, `evaluate`, `rank`, `heatmaps`, `report`, `ablate` and `import-weights`."""
