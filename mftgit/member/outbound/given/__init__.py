"""What a run is given: its context, programs, progress, turns, and the word to stop."""
