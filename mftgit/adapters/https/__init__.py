"""Locations on HTTPS servers, with WebDAV or without."""
