"""Models of this project: trained ones for the demo and tests, random weights for benchmarks."""
