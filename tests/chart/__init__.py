"""What the Helm chart renders, without a cluster."""
