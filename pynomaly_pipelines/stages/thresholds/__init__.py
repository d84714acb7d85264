"""From scores to alerts: thresholds by budget or labels, and what they would have meant."""
