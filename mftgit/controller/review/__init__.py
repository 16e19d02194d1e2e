"""Have proposals reviewed: the record of approvals, and what may be merged."""
