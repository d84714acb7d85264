"""Open incidents -> what each receiver is told, once."""
