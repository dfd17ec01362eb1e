"""Training and test images with their part boxes: augmentation, PK sampler, loader, hold-out."""
