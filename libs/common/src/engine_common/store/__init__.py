"""The durable truth: every statement that touches PostgreSQL stands in this package."""
