"""What a member is to the cluster: its record, its orders, and what it and the controller say to each other."""
