"""Faults of files, processes and disks."""
