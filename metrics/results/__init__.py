"""Results of other evaluation harnesses: readers into one long table, and their comparison."""
