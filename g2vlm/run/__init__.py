"""Running the pipeline: configs, pins of the data, jobs, locks, records of runs."""
