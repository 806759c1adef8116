"""Tables, figures, galleries, studies and the report page, made from the statistics of a run."""
