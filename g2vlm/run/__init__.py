"""What the pipeline needs around the science: configs, data pins, jobs, locks, provenance."""
