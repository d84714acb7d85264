"""A look at data nobody described yet: a first `defs.yaml`, and expectations that the rows propose."""
