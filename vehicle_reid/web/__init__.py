"""The search page: a web page on this machine to search a gallery in."""
