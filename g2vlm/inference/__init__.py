"""From a trained model to a submission: points, mesh, objects, graph, language, thresholds."""
