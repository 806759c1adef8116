"""Real rooms: five captures of a headset, read, placed and rendered as the drawn rooms are."""
