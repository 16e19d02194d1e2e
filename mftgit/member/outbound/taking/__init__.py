"""Which files are taken out of the source, and as what they go."""
