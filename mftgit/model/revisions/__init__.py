"""What may become of a revision on its way to being published."""
