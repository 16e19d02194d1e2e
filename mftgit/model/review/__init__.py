"""Review: who approves what, and what is written down of it."""
