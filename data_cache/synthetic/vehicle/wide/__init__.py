"""Painters and builders of the variety `wide`: more lamps, grilles, rims, mirrors, load spaces and buses."""
