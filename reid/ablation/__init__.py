"""The comparisons of the paper's tables and Figure 3: planned, run, and written as tables."""
