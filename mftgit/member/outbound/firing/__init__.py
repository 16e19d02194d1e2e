"""When a transfer runs: by its schedule, and at once where a watched folder has news."""
