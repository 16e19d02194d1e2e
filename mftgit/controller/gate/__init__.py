"""Decide about what is pushed or proposed, and publish it."""
