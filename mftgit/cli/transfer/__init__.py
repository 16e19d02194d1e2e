"""``mftgit transfer``: what an operator sees of transfers on a member, and does with them there."""
