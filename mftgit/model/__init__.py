"""What a configuration is and what follows from it; values in, values out."""
