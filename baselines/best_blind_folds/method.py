"""The best blind probe of each question type, fitted in folds on the judged questions themselves.

It finds what the words give away in this split alone, such as in its own sentence templates. Each
question is answered by a fit on the true answers of other scenes.
"""

import numpy as np

from baselines.answers import training_questions
from baselines.blind_probes import answers_in_folds, blind_fits, score_answers
from baselines.contract import Context

DESCRIPTION = "The best blind probe of each question type, fitted in folds on the judged questions"
PRODUCES = ("answers",)
DEFAULT_REASON = "looks at no scene"
USES_TRUTH = True

FOLDS = 10


def predict(context: Context) -> None:
    """Answer each split's questions by the probe of each type that scores best on them.

    The choice among the probes knows the answers too, so the score is an upper estimate.
    """
    splits = context.need("truth")
    text = context.need("text")
    fits = blind_fits(lambda texts: text.gather(texts, length=1).pooled)
    for split, truth in splits.items():
        with context.writer(split) as writer:
            questions = training_questions(truth.scenes)
            answers = {name: answers_in_folds(questions, fit, FOLDS) for name, fit in fits.items()}
            scores = {name: score_answers(questions, given) for name, given in answers.items()}
            for kind, rows in questions.items():
                best = max(fits, key=lambda name: float(np.mean(scores[name][kind])))
                for question, answer in zip(rows, answers[best][kind], strict=True):
                    writer.answer(question["scene"], question["id"], answer)
