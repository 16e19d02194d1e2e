"""The Web Manager: pages for people and the HTTP API for programs, of which each resource is one module here."""
