"""The work around the library: files, folders, reports, the command line."""
