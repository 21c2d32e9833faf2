"""Connections of clients: what uvicorn leaves unbounded in time and size, and the answers it gives by itself."""
