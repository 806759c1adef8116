"""Cameras for tests: random ones, disturbed ones, and a path with known distances."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.spatial.transform import Rotation


def cameras(count: int, seed: int = 0) -> np.ndarray:
    """Return random poses [count, 4, 4], camera to world, metres."""
    generator = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    poses[:, :3, 3] = generator.normal(size=(count, 3))
    return poses


def disturbed(poses: np.ndarray, turn: float, shift: float, seed: int = 1) -> np.ndarray:
    """Return poses with rotations of about `turn` radians and shifts of `shift` metres added."""
    generator = np.random.default_rng(seed)
    moved = poses.copy()
    noise = Rotation.from_rotvec(turn * generator.normal(size=(len(poses), 3))).as_matrix()
    moved[:, :3, :3] = noise @ poses[:, :3, :3]
    moved[:, :3, 3] += shift * generator.normal(size=(len(poses), 3))
    return moved


def regauged(poses: np.ndarray, scale: float = 3.0, seed: int = 2) -> np.ndarray:
    """Return the same cameras in another frame and unit."""
    moved = cameras(1, seed)[0] @ poses
    moved[:, :3, 3] *= scale
    return moved


def without(poses: np.ndarray, *views: int) -> np.ndarray:
    """Return poses in which some views have none."""
    rest = poses.copy()
    rest[list(views)] = np.nan
    return rest


def reversed_motion(poses: np.ndarray) -> np.ndarray:
    """Return poses whose centres move the opposite way, with the same rotations."""
    opposite = poses.copy()
    opposite[:, :3, 3] *= -1
    return opposite


def cube() -> np.ndarray:
    """Return 8 upright cameras at the corners of the cube from -1 to 1."""
    poses = np.tile(np.eye(4), (8, 1, 1))
    poses[:, :3, 3] = list(product((-1, 1), repeat=3))
    return poses


def line(count: int) -> np.ndarray:
    """Return upright cameras 1 m apart on the x axis."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = np.arange(count)
    return poses
