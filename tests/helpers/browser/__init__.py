"""Pages parsed, or opened in headless Chromium."""
