"""Evaluation of a run on the protocol of a data set."""
