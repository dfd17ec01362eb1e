"""The PGAN network, its backbones and checkpoints, and the authors' published weights."""
