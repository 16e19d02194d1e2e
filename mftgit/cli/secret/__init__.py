"""``mftgit secret``: passwords and private keys, encrypted in a person's clone."""
