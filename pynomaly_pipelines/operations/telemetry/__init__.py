"""What the product says of itself while it runs: logs, metrics, traces."""
