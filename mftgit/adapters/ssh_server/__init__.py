"""SSH as a server, by paramiko: keys, logins, channels, and the threads that serve them."""
