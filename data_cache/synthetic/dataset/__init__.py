"""A rendered data set: who is photographed where, in the layout of which benchmark."""
