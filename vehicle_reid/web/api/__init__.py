"""The HTTP API for other services: versioned addresses beside the page, described by OpenAPI."""
