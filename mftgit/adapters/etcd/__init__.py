"""Ownership by etcd."""
