"""HTML pages parsed, or opened in headless Chromium."""
