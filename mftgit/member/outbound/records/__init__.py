"""What is written down of deliveries on storage that the members share."""
