"""Write the tables, figures, gallery and report of one experiment from its statistics."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.manifest import origin
    from metrics.files import atomic_path
    from metrics.present.figures import write_figures
    from metrics.present.gallery import write_gallery
    from metrics.present.report import write_report
    from metrics.present.tables import write_tables
    from metrics.present.terminal import headline

    results = Path("results", task.config["experiment"])
    statistics, settings = results / "statistics", task.config["statistics"]
    split, method = "test_scene", settings["reference"]
    print("tables")
    write_tables(statistics, results / "tables", settings)
    print("figures")
    write_figures(statistics, results / "models", results / "figures", settings)
    print("gallery")
    write_gallery(
        statistics,
        results / "truth" / split,
        results / "predictions" / method / "0" / split,
        results / "scenes" / split,
        results / "gallery",
        method,
    )
    print("report")
    write_report(
        statistics,
        task.output.report,
        results / "figures",
        results / "gallery",
        origin(task.config),
        settings,
    )
    with atomic_path(task.output.headline) as path:
        path.write_text(headline(statistics) + "\n", encoding="utf-8")
