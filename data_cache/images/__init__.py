"""Image loading, drawing of boxes and text, contact sheets and plots."""
