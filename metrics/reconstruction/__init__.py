"""Point-cloud, mesh, occupancy and novel-view depth metrics."""
