"""Camera poses, trajectories and depth images against their truth, and other protocols' forms."""
