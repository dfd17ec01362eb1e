"""How good a part detector is: COCO AP, recall of the top D, contact sheets."""
