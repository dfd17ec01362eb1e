"""The SSD part detector: MMDetection network, weights, inference, NMS, export."""
