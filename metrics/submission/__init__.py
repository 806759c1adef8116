"""Reading, writing and validating the submission format."""
