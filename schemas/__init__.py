"""JSON schemas of the documents and of every ``--json`` output; installed as ``mftgit.schemas``."""
