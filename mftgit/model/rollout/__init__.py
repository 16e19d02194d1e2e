"""How a revision goes through the members."""
