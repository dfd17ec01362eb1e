"""Galleries in LanceDB: in a folder, or in a bucket."""
