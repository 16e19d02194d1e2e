"""One package or module for each technology outside the process; the only importer of it."""
