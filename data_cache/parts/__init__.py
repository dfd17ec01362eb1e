"""The part cache: its HDF5 file, shards, import, export, merging, verification and statistics."""
