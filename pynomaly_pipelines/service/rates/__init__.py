"""How often a client and an account may ask."""
