"""Checks of a data set before anything is made from it."""
