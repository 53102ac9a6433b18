"""Floor 4: other libraries' physics for our models, and our models for theirs. A module imports its library."""
