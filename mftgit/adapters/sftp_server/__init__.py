"""SFTP as a server: what clients ask of the files of their account."""
