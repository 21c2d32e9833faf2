"""Hostile and crowded clients: what must not harm the api, nor anyone whom it serves."""
