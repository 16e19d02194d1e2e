"""Transfers: when they run, what they take, and the life of each file."""
