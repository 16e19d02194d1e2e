"""What is measured and shown of members and the cluster."""
