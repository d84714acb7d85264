"""What happened, by whom, on what: a log that shows when it was tampered with."""
