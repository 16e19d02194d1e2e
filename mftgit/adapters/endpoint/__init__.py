"""The contract of locations, and what its implementations have in common."""
