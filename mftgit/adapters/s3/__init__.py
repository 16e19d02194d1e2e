"""Locations in buckets of S3."""
