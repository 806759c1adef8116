"""Sentences about a scene: referring expressions, questions, captions and phrases.

`referring_context` names the objects of a recipe; `referring_expressions` and `question_templates`
generate every sentence that is true by a margin; `generate` picks some of them, questions by
`answer_balancing`; `templates` holds the wording. `mention_parser` finds the objects that a
sentence mentions.
"""
