"""Real rooms: five headset captures, turned into recipes and rendered like synthetic rooms."""
