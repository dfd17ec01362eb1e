"""Data sets as tables with their evaluation protocols, one reader per benchmark."""
