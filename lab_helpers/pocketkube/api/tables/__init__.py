"""Server-side tables: what `kubectl get` prints. `table` builds them; one module a family of kinds fills the cells."""
