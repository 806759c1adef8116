"""Ray-cast views, sensor noise, meshes and occupancy of a scene."""
