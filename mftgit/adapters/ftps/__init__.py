"""Locations on FTPS servers."""
