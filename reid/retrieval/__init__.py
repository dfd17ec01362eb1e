"""Exact ranking, retrieval metrics, re-ranking and query expansion."""
