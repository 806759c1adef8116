"""Names of splits, and the keys that stand for them in scene ids, random draws and data folders.

A key outlives a change of the name: with another key all rooms of a split would be others.
"""

# {split: its key}, where they differ.
KEYS = {
    "dev_scene": "test_scene",
    "dev_asset": "test_asset",
    "test_scene": "sealed_scene",
    "test_asset": "sealed_asset",
    "test_shift": "sealed_shift",
}
# The splits of the sealed test, and those of them with furniture that no training room shows.
SEALED = ("test_scene", "test_asset", "test_shift")
SEALED_UNSEEN = ("test_asset", "test_shift")
_NAMES = {key: split for split, key in KEYS.items()}


def split_key(split: str) -> str:
    """Return the key of a split.

    >>> split_key("dev_scene"), split_key("test_scene"), split_key("val")
    ('test_scene', 'sealed_scene', 'val')
    """
    return KEYS.get(split, split)


def split_name(key: str) -> str:
    """Return the split that a key stands for.

    >>> split_name("test_scene"), split_name("val")
    ('dev_scene', 'val')
    """
    return _NAMES.get(key, key)
