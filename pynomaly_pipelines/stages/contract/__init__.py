"""The columns a pipeline agreed on with its source, and what happens when a file deviates."""
