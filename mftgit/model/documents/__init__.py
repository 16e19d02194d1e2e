"""What a document says as text: read, held against its schema, and written."""
