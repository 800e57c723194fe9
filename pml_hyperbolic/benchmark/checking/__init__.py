"""What is checked of a benchmark before anything runs."""
