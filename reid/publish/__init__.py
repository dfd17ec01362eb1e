"""A trained network for others: programs, weights with a model card, import of published weights."""
