"""README's tables and the code they are made from."""
