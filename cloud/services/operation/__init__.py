"""What an installation is set up, looked after and saved by."""
