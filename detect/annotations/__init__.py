"""Annotated parts: COCO and VOC files, checked and converted."""
