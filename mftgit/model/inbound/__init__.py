"""Who comes in: services, accounts, how they prove themselves, and what they may do."""
