"""What SSH is to a client and to a server alike: packets, streams over channels, and signatures."""
