"""Rows that are stored already, as people and programs ask for them: chosen, ordered, in pages or as a file."""
