"""Tables, figures, galleries and the report, made from statistics alone."""
