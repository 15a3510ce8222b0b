"""Custom resources: kinds that a CustomResourceDefinition brings, beside those of `resources/table.py`.

`definition` turns a definition into resources, `catalogue` says which are served right now, `structural` prunes and
defaults objects by their schema, `values` validates them, `types` tells server-side apply how they are merged.
"""
