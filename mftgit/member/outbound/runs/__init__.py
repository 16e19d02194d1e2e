"""A run of a transfer, from the firing to the outcome, and the line that it belongs to."""
