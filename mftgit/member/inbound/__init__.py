"""A member's inbound side: the services that clients come to, their processes, and who is let in."""
