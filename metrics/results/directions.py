"""Direction and range of metrics: stated by the user, by a file, by the registry, or well known."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from metrics.files import InputError
from metrics.results.long_table import LongTable

# Scores whose largest value is 1, or 100 in percent; higher is better.
_SHARES = {
    *("acc", "acc_norm", "accuracy", "exact_match", "em", "hit", "correct", "is_correct"),
    *("f1", "precision", "recall", "anls", "iou", "mra", "mra:.5:.95:.05", "mc1", "mc2"),
    *("success", "pass@1"),
}
_HIGHER = {"score", "bleu", "chrf", "rouge1", "rouge2", "rougel", "cider", "meteor", "psnr", "ssim"}
_LOWER = {
    *("wer", "cer", "ter", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"),
    *("mae", "mse", "rmse", "absrel", "brier_score", "lpips"),
}
# A score of a metric whose range is unknown is percent if it is above this and another file's
# scores are all at most 1.
_SURELY_PERCENT = 20.0


@dataclass(frozen=True)
class Directions:
    """What the user states about metrics: names as in the output, or without task and filter."""

    higher: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()


def names_of(metric: str) -> tuple[str, str, str]:
    """Return the names by which a metric can be called.

    Example:
        >>> names_of("gsm8k/exact_match,strict-match")
        ('gsm8k/exact_match,strict-match', 'exact_match,strict-match', 'exact_match')
    """
    tail = metric.split("/", 1)[-1]
    return metric, tail, tail.rsplit(",", 1)[0]


def check_named(named: Iterable[str], metrics: Collection[str], option: str) -> None:
    """Raise `InputError` for a name that is none of the metrics."""
    known = {name for metric in metrics for name in names_of(metric)}
    for name in named:
        if name not in known:
            raise InputError(
                f"{option}: no file has a metric {name!r}; choose from {', '.join(sorted(metrics))}"
            )


def find_directions(
    metrics: Collection[str], tables: list[LongTable], stated: Directions
) -> dict[str, bool]:
    """Return {metric: whether higher is better}.

    What the user states comes first, then the files, the registry, and common names.

    Raises:
        InputError: a direction is unknown, stated twice, or two files state different ones.
    """
    check_named(stated.higher, metrics, "--higher")
    check_named(stated.lower, metrics, "--lower")
    found, unknown = {}, []
    for metric in metrics:
        direction = _direction(metric, tables, stated)
        if direction is None:
            unknown.append(metric)
        else:
            found[metric] = direction
    if unknown:
        file = next(table.file for table in tables if unknown[0] in table.metrics)
        raise InputError(
            f"{file}: whether higher is better is not known for {', '.join(unknown)}; say it by "
            "--higher NAME or --lower NAME, or leave the metric out by --metrics"
        )
    return found


def _direction(metric: str, tables: list[LongTable], stated: Directions) -> bool | None:
    from metrics.registry import METRICS

    names = names_of(metric)
    up, down = (bool(set(names) & set(part)) for part in (stated.higher, stated.lower))
    if up and down:
        raise InputError(f"--higher and --lower: both name {metric}; name it once")
    if up or down:
        return up
    in_files = {table.higher[metric]: table.file for table in tables if metric in table.higher}
    if len(in_files) > 1:
        raise InputError(
            f"{in_files[True]}: higher is better for {metric}, but {in_files[False]} states the "
            "opposite; say which is right by --higher or --lower"
        )
    if in_files:
        return next(iter(in_files))
    if metric in METRICS:
        return bool(METRICS[metric].higher_is_better)
    base = names[-1].lower()
    base = base.rsplit(".", 1)[-1] if base not in _SHARES else base
    if base in _SHARES | _HIGHER:
        return True
    return False if base in _LOWER else None


def is_share(metric: str) -> bool:
    """Return whether a metric's largest value is known to be 1, or 100 in percent."""
    base = names_of(metric)[-1].lower()
    return base in _SHARES or base.rsplit(".", 1)[-1] in _SHARES


def find_bounds(
    metric: str, higher: bool, ranges: dict[str, tuple[float, float]]
) -> tuple[float, float | None] | None:
    """Return the smallest and the largest possible value of a metric, None where unknown.

    A share lies between 0 and 1, or 100; so does any metric of which higher is better and whose
    scores reach both 0 and 1 and nothing beyond.

    Args:
        metric: its name.
        higher: whether higher is better.
        ranges: {file: (smallest, largest score)}.

    Raises:
        InputError: one file holds percent and another fractions.
    """
    from metrics.statistics.measures import bounds

    share = is_share(metric)
    limit = 1.0 if share else _SURELY_PERCENT
    fractions = [file for file, (low, high) in ranges.items() if low >= 0 and high <= 1]
    percent = [file for file, (low, high) in ranges.items() if low >= 0 and limit < high <= 100]
    if higher and fractions and percent:
        raise InputError(
            f"{percent[0]}: {metric} reaches {ranges[percent[0]][1]:.4g}, but is at most "
            f"{ranges[fractions[0]][1]:.4g} in {fractions[0]}: percent next to fractions; divide "
            "the percent by 100"
        )
    low, high = min(r[0] for r in ranges.values()), max(r[1] for r in ranges.values())
    known = bounds(metric)
    if known is not None or not (share or (higher and (low, high) == (0, 1))):
        return known
    if low < 0 or high > 100:
        return None
    return (0.0, 1.0) if high <= 1 else (0.0, 100.0)
