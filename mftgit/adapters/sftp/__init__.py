"""SFTP as a client: locations on SFTP servers, over paramiko's transport or OpenSSH's client."""
