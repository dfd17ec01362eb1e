"""Evaluation: features of the test images, their scores under the protocol, metrics.json."""
