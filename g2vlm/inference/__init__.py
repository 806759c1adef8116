"""Run a trained model: calibrate thresholds, predict a split, write a submission."""
