"""Training of the network: targets, losses and the resumable loop."""
