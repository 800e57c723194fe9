"""What a run leaves behind: its files, its rows and the names of its metrics."""
