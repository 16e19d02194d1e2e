"""Which member owns a transfer: leases kept, looked after and given back."""
