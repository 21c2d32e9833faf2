"""The contract with clients: an OpenAPI document, built from routes and schemas so that nothing is forgotten."""
