"""Models that this project makes: the demo's, and ones of random weights for benchmarks."""
