"""Everything that does I/O, as plain classes that stages take as arguments."""
