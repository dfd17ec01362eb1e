"""Stage one: the vehicle part detector, its training, and the detection run that fills the part cache."""
