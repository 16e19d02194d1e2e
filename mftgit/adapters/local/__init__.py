"""Locations on this machine and on mounted storage."""
