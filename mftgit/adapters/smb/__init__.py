"""Locations on SMB 3 servers."""
