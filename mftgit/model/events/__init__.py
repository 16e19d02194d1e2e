"""What happened: its words, how it is searched, counted and kept."""
