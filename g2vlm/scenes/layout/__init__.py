"""Room layouts: furniture placement, cameras, splits and spatial relations."""
