"""The steps by which the accounts' database came to be what it is; alembic runs them in order."""
