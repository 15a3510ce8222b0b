"""The API server: operations on objects (status, selectors, verbs) and, above them, the HTTP layer."""
