"""Files on their whole way, step by step."""
