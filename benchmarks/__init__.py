"""Speed of this project's metrics and rays against peers: `python -m benchmarks`."""
