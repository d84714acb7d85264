"""Who may do what: permissions, roles, grants."""
