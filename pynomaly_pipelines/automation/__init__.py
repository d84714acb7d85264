"""When things run without a hand on them."""
