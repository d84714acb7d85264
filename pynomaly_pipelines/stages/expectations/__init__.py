"""What rows must meet: Great Expectations by name, their arguments, verdicts, reports and pages."""
