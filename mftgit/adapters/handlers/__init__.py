"""Where event handlers bring events to."""
