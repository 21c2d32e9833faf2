"""Who may come in: API keys, accounts, rate limits, open sockets."""
