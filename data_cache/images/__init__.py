"""Images: the one loader of both stages, boxes and text drawn into pictures, contact sheets, plots."""
