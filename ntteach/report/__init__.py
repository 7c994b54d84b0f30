"""What a run and a claim look like: terminal, JSON, JUnit XML, graph; nothing is computed here."""
