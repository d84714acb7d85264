"""What arrives, and how it becomes rows: paths, readers by format, databases, and what is known of each file."""
