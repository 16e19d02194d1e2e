"""What accounts see of files: folders here and on other servers, behind one contract."""
