"""Evaluation of a part detector: COCO AP, recall by the top D boxes, contact sheets."""
