"""Grounding, retrieval and question-answering metrics."""
