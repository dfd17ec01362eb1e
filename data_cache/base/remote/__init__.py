"""Folders and files in stores on other machines."""
