"""Git hooks for clones and for bare repositories that git serves; installed as ``mftgit.hooks``."""
