"""Faults put into files, processes and disks."""
