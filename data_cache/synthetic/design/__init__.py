"""What vehicles look like: body shapes, fleet designs and individual traits, sampled from a seed."""
