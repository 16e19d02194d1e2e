"""Let members in, tell them what is news, and take in what they say."""
