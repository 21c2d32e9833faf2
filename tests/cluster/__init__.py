"""The release on a real cluster under load, through its ingress: the harness, and the tests of `make kind-test`."""
