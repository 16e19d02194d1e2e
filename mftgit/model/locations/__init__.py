"""Where files come from and go to, and how servers there are reached."""
