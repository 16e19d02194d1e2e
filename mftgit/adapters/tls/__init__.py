"""TLS: which one is spoken, certificates, and the cluster's own authority."""
