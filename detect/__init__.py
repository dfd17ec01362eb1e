"""Stage one: the vehicle part detector (bottom-up attention), its training, and the pass that fills the part cache."""
