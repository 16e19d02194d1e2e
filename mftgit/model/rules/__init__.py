"""The rules that no schema can express: of a document by itself, across documents, and of a whole revision."""
