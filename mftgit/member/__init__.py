"""What every member does, the controller too."""
