"""Real rooms: five headset captures, turned into recipes and rendered like synthetic rooms."""

# The split of the captured rooms, and the folder of its recipes in the data.
REAL_ROOMS = "real_rooms"
# The folder of the captures in the data.
FOLDER = "sources/rooms"
