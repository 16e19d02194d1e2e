"""Who may sign, and whether a history was signed and approved as it has to be."""
