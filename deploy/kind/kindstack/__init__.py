"""The order engine on Kubernetes: a kind cluster on this machine, and the Helm part for any cluster."""
