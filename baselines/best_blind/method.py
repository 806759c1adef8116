"""For each question type the blind probe that is best in cross-validation on train."""

from baselines.answers import answer_splits
from baselines.blind_probes import BestProbe, blind_fits
from baselines.contract import Context

DESCRIPTION = "The best blind probe of each question type, fitted and chosen on train"
PRODUCES = ("answers",)
DEFAULT_REASON = "looks at no scene"


def predict(context: Context) -> None:
    """Choose and fit on train, answer every question of every split."""
    text = context.need("text")
    fits = blind_fits(lambda texts: text.gather(texts, length=1).pooled)
    answer_splits(context, lambda questions: BestProbe(fits, questions))
