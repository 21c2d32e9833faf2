"""What suites under load share: orders to place, clients that follow them, and the judgement of what became of them."""
