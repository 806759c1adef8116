"""Object detection, scene-graph and relation metrics."""
