"""What both stages read: datasets as tables, images, part boxes in HDF5, and the renderer of synthetic vehicles."""
