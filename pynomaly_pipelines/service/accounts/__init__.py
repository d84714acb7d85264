"""The SQL tables of accounts and what belongs to them."""
