"""What stages, resources and service share: errors, settings."""
