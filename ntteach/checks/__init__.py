"""Ways of testing, generic over callables; each returns `Evidence` with its mutants refuted."""
