"""A complete, valid configuration; installed as ``mftgit.sample_config_repo``."""
