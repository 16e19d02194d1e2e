"""Keys, certificates and signatures, of SSH and OpenPGP."""
