"""Networks for others: published weights imported, trained networks exported with a model card."""
