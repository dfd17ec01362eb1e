"""Features of images: extraction, feature files, features from other systems."""
