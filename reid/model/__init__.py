"""The PGAN network, its backbones, checkpoints, and the authors' published weights."""
