"""From the source to a temporary at the destination, its content changed on the way."""
