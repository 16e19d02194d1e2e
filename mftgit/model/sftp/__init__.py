"""SFTP version 3: requests, answers, and their bytes."""
