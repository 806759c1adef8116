"""The yardstick: metrics, the submission format and statistics, usable without the method."""
