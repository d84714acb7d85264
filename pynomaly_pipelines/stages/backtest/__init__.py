"""A period of the past, replayed as it would have happened."""
