"""Designs of the variety `wide`: more bodies, continuous colours, and details that fleets do not have."""
