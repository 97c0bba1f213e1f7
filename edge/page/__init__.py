"""The technician's page on the gateway itself, and the same for its own command line. Works with the cloud away."""
