"""Event handlers: which events go where, when, and in which words."""
