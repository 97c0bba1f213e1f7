"""Sites, buildings and rooms."""
