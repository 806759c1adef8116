"""Intervals, tests and effect sizes over one long table of scores.

Seeds are crossed with scenes, queries nest in scenes, scenes are paired across methods and the
trainings of two methods are independent. Conclusions are conditional on one training set and one
scene generator.
"""
