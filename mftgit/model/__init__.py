"""What a configuration is and what follows from it: values in, values out; a package for each subject."""
