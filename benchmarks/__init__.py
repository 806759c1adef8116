"""Speed, memory and size of this project, measured: `python -m benchmarks`."""
