"""Training and test images with their part boxes: loading, augmentation, sampling, decoded images in a file."""
