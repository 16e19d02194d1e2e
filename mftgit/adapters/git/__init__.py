"""git: the hosted repository, what is received, judged, sent and read, by dulwich and C git."""
