"""Puts this folder on the import path, so that tests below it can use `sandboxed` and `in_process_api`."""
