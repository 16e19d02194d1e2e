"""Where files are: locations opened, lent, limited, fenced by the ownership, and read."""
