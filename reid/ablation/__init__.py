"""The comparisons of the paper's tables and of Figure 3: networks, their runs, tables of what came out."""
