"""Secrets: their documents, their values, and who needs them."""
