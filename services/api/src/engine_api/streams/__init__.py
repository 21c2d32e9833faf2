"""Live events over WebSockets: each exactly once and in order, whatever becomes of Redis."""
