"""Who owns what: leases, sessions, and how members come to the same answer."""
