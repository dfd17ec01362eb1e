"""The HTML report and the pictures of ranked lists and heatmaps."""
