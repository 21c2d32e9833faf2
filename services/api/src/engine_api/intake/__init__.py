"""From a request body to a stored order."""
