"""What only the controller does: receive, publish, notify, collect."""
