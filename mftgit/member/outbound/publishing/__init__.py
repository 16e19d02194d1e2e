"""From a temporary to the file's name, its event, its line in the ledger, and the end of its source."""
