"""Ownership by a folder that members share."""
