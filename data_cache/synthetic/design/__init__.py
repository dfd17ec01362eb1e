"""What sets vehicles apart: bodies, styles, fleets and owners, drawn from a seed."""
