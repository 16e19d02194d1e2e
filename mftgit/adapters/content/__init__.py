"""Content that is changed on its way: gzip, zip, OpenPGP."""
