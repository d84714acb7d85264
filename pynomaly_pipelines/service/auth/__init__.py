"""Who is asking: tokens, API keys, passwords."""
