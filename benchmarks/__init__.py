"""Speed of this project's metrics against peers: `python -m benchmarks`."""
