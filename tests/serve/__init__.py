"""The search page: its server, whom and what it refuses, and what a browser shows of it."""
