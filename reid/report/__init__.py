"""The HTML report of an evaluated run, and PNG files of its ranked lists and heatmaps."""
