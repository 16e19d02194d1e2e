"""Follow the protected branch of a forge, and tell it what became of it."""
