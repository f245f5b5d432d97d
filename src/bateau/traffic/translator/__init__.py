"""A process that translates the APIs that no engine has, and asks the gateway again in the name of the caller."""
