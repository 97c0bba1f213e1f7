"""The pages about readings and what they come to."""
