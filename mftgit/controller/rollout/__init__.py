"""Lead a revision through the members, step by step."""
