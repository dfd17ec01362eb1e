"""Features of images: extraction, feature files, features of other systems."""
