"""The images that `make images` builds, alone and as a system of containers."""
