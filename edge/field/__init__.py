"""What a technician does at a gateway that is serving its lines: read, test, find, link, and ask by hand."""
