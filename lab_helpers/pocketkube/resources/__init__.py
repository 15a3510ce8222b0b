"""What is special about a kind: defaulting, validation, allocation. One module a kind; `table` lists them all."""
