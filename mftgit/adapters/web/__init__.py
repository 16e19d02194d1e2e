"""HTTPS as a server: up- and download for accounts, by h11."""
