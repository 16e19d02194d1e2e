"""Take files to their destination: own, claim, send, publish, record."""
