"""Stage two: the part-guided attention network, its training, features, exact ranking and reports."""
