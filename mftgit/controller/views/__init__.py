"""What pages and verbs show of the cluster and its history."""
