"""Bring events to where event handlers say."""
