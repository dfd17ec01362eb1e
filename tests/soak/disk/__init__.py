"""Storage that fails."""
