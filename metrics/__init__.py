"""The evaluation protocol: it knows no method, no experiment and no claim."""
