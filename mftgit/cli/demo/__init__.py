"""``mftgit demo``: the whole path on this machine, in under a minute."""
