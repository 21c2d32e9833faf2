"""What is measured: one module a scenario, each with its goal from the project's performance requirements."""
