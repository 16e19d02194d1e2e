"""Find out who is at the door."""
