"""Models that learn the same thing from the same data for the same time."""
