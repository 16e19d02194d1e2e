"""OpenSSH's own client as a program: how it is started, logs in, and what it says."""
