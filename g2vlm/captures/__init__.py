"""Real RGB-D captures of a room: read from common layouts, thinned, levelled."""

from g2vlm.captures.load import Capture, load_capture

__all__ = ["Capture", "load_capture"]
