"""Pack a finished run as a Workflow Run RO-Crate: one zip with code, pins of inputs and results.

The crate holds the small results. Renders, features, predictions and weights stay outside it; the
manifest names them.

Source: Workflow Run Crate 0.5 (Leo et al. 2024) over RO-Crate 1.1 (Soiland-Reyes et al. 2022).
"""

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metrics.files import atomic_path

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW = ("workflow", "config", "baselines", "g2vlm", "metrics", "report", "viewer", "profiles")
INPUTS = ("data.dvc", "data.manifest.json", "requirements.lock")
SOURCES = (".py", ".smk", ".yaml", ".json", ".j2", ".js", ".css", ".csv", ".in")


def write_crate(root: Path, results: Path, manifest: Mapping[str, Any], path: Path) -> None:
    """Write the crate of a run, completely or not at all.

    Args:
        root: the clone that ran.
        results: the experiment's folder.
        manifest: the run's record (`g2vlm.run.manifest.describe`).
        path: the zip file.
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")
    experiment = manifest["experiment"]
    crate.name = f"g2vlm: the {experiment} experiment"
    crate.description = (
        "Scores, intervals and tests of geometry-grounded vision-language models, their "
        "ablations and baselines."
    )
    crate.license = "https://spdx.org/licenses/Apache-2.0"
    profiles = [
        crate.add(ContextEntity(crate, link, {"@type": "CreativeWork", "name": name}))
        for link, name in PROFILES.items()
    ]
    crate.root_dataset["conformsTo"] = profiles
    workflow = crate.add_workflow(root / "Snakefile", "Snakefile", main=True, lang="snakemake")
    workflow["version"] = manifest["code"]["commit"] or "unversioned"
    workflow["hasPart"] = [
        crate.add_file(path, path.relative_to(root).as_posix())
        for name in WORKFLOW
        for path in sorted((root / name).rglob("*"))
        if path.suffix in SOURCES and "__pycache__" not in path.parts
    ]
    inputs = [crate.add_file(root / name, name) for name in INPUTS]
    produced = [crate.add_file(results / "manifest.json", "results/manifest.json")]
    for name, digest in manifest["results"].items():
        file = results / name
        properties = {"sha256": digest, "contentSize": str(file.stat().st_size)}
        produced.append(crate.add_file(file, f"results/{name}", properties=properties))
    # The run lasts from the first log of a job to the last, ISO 8601 in UTC.
    stamps = [log.stat().st_mtime for log in (results / "logs").rglob("*.log")]
    stamps = stamps or [(results / "manifest.json").stat().st_mtime]
    action = crate.add(
        ContextEntity(
            crate,
            "#run",
            {
                "@type": "CreateAction",
                "name": f"snakemake reproduce ({experiment})",
                "startTime": datetime.fromtimestamp(min(stamps), UTC).isoformat(),
                "endTime": datetime.fromtimestamp(max(stamps), UTC).isoformat(),
                "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            },
        )
    )
    action["instrument"], action["object"], action["result"] = workflow, inputs, produced
    crate.root_dataset["mentions"] = action
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as folder:
        # The library sets the suffix of the file itself.
        Path(temporary).write_bytes(Path(crate.write_zip(Path(folder, "crate.zip"))).read_bytes())
