"""The training loop: two stages, deterministic, resumable to the same bits on one machine."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from g2vlm.models.checkpoint import save_model
from g2vlm.models.config import ModelConfig, method_switches, model_sizes
from g2vlm.models.decoder import build_words
from g2vlm.models.model import G2VLM
from g2vlm.models.probe import RetrievalProbe
from g2vlm.models.size import sentence
from g2vlm.training.cache_features import caption_embeddings, survey
from g2vlm.training.data import TrainSet
from g2vlm.training.objective import Objective
from g2vlm.training.optimizer import learning_rate, make_optimizer
from g2vlm.training.process_group import Team
from g2vlm.training.qa_head import refit_answers
from g2vlm.training.referring_head import refit_reader
from g2vlm.training.resume import Checkpoint, training_key
from g2vlm.training.second_stage import refit_boxes, refit_retrieval
from g2vlm.training.settings import TrainSettings
from metrics.files import atomic_path, rng, write_json

PROGRESS_SECONDS = 5.0
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def train(
    config: Mapping[str, Any],
    method: Mapping[str, Any],
    scenes_dir: str | os.PathLike[str],
    features_dir: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    checkpoint_dir: str | os.PathLike[str],
    seed: int,
    threads: int = 1,
) -> None:
    """Train one method with one seed.

    `config` is the experiment's configuration, `method` a method file's content with its name (a
    study's variant may add `scenes`, the share of them to train with, and its own `train` section);
    reads `scenes_dir`/train and the cached features, writes model.safetensors, config.json,
    losses.parquet, cost.json and the retrieval probe into `out_dir`. Goes on from a checkpoint of
    the same config and data under `checkpoint_dir`; raises `InputError` for one of another.
    """
    keep_memory()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    settings = TrainSettings.from_config(method.get("train", config["train"]))
    share = float(method.get("scenes", 1.0))
    scenes, features = Path(scenes_dir) / "train", Path(features_dir)
    begun = time.monotonic()
    data = load_train_set(scenes, features, share)
    model_config = configure(config, method, settings, data)
    parts = {
        "model": model_config.to_json(),
        "train": settings.to_json() | {"checkpoint_seconds": None, "processes": None},
        "seed": seed,
        "scenes": share,
        "torch": torch.__version__,
    }
    inputs = [*sorted(scenes.glob("*.safetensors")), *sorted(scenes.glob("*.jsonl"))]
    inputs += [features / "images" / "train.safetensors", features / "text.safetensors"]
    checkpoint = Checkpoint(Path(checkpoint_dir), training_key(parts, inputs))
    torch.manual_seed(_torch_seed(seed, "weights"))
    model = G2VLM(model_config).train()
    model.encoder.fit([scene.inputs for scene in data.scenes])
    team = Team()
    model.to(team.device)
    objective = Objective(model, data, settings, seed)
    log, seconds = run_steps(objective, checkpoint, begun, team)
    # The others need not wait while the first one looks at every scene once more.
    team.leave()
    if team.first:
        probe, more = finish(objective)
        seconds += more
        meta = {
            "method": model_config.method,
            "seed": seed,
            "train": settings.to_json(),
            "key": checkpoint.key,
            "scenes": len(data.scenes),
            "encoders": dict(config.get("encode", {})),
        }
        probe.save(out_dir)
        write_result(Path(out_dir), model, meta, log, seconds)
        checkpoint.clear()


def finish(objective: Objective) -> tuple[RetrievalProbe, float]:
    """Fit what is fitted on the standing model: boxes where they were supervised, the reader where
    there is language, retrieval where L_align was. Returns the probe, which is no part of the
    model, and the seconds all took."""
    model, data, seed = objective.model, objective.data, objective.seed
    config, settings, started = model.config, objective.settings, time.monotonic()
    found = survey(model, data.scenes)
    fitted: dict[str, float | None] = {}
    if config.votes:
        supervised, steps = objective.supervised, settings.box_head_steps
        fitted["boxes"] = refit_boxes(model, found.seen, supervised, seed, steps)
    seen = [one.draw(model) for one in found.seen]
    losses = refit_reader(model, seen, data, seed, settings.referring_head_steps)
    fitted |= {f"reader/{name}": value for name, value in losses.items()}
    losses = refit_answers(model, seen, data, seed, settings.qa_head_steps)
    fitted |= {f"answers/{name}": value for name, value in losses.items()}
    captions = caption_embeddings(data)
    if config.language and config.align_loss:
        fitted["retrieval"] = refit_retrieval(model.descriptors, found.pooled, captions, seed)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in fitted.items() if value is not None)
    print(f"train: fitted anew, losses {shown or 'none'}", flush=True)
    probe = RetrievalProbe.fit(found.pooled.cpu().numpy(), captions)
    return probe, time.monotonic() - started


def write_result(
    out_dir: Path,
    model: G2VLM,
    meta: Mapping[str, Any],
    log: Sequence[Mapping[str, float]],
    seconds: float,
) -> None:
    """Write the losses, what the training cost and, last, the model."""
    write_losses(out_dir / "losses.parquet", log)
    cost = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_seconds": round(seconds, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    write_json(out_dir / "cost.json", cost)
    save_model(model, out_dir, meta)
    print(f"train: {sentence(out_dir)}", flush=True)


def keep_memory() -> None:
    """Ask glibc to keep freed memory instead of returning it to the system.

    A step frees and takes back hundreds of megabytes; page faults on them were a quarter of its
    time. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 2**26)


def load_train_set(scenes: Path, features: Path, share: float = 1.0) -> TrainSet:
    """Read the rendered training scenes, or a share of them, and their cached features."""
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.scenes.assets.classes import CLASSES
    from g2vlm.scenes.dataset import SceneStore
    from g2vlm.scenes.language.generate import facts_hold, phrase_holds
    from g2vlm.scenes.language.mention_parser import parse_mentions

    images = ImageFeatures(features / "images" / "train.safetensors")
    texts, store = TextFeatures(features), SceneStore(scenes)
    return TrainSet(store, images, texts, CLASSES, facts_hold, phrase_holds, parse_mentions, share)


def configure(
    config: Mapping[str, Any], method: Mapping[str, Any], settings: TrainSettings, data: TrainSet
) -> ModelConfig:
    """The model that the experiment, the method and the training data ask for."""
    name = str(method.get("name", "full"))
    lines = [scene.annotation for scene in data.scenes]
    texts = [item["answer"] for line in lines for item in line["questions"]]
    texts += [item["text"] for line in lines for item in line["captions"]]
    first = data.scenes[0].inputs
    return ModelConfig(
        height=int(config["render"]["height"]),
        width=int(config["render"]["width"]),
        classes=data.classes,
        words=build_words(texts),
        colours=data.colours,
        method=name,
        dropout=settings.dropout,
        token_features=first.tokens.shape[-1],
        point_features=first.features.shape[-1],
        text_features=data.texts.width,
        views=len(first.pose),
        **model_sizes(config),
        **method_switches(method, f"method {name}"),
    )


def run_steps(
    objective: Objective, checkpoint: Checkpoint, begun: float, team: Team
) -> tuple[list[dict[str, float]], float]:
    """Run what is left of the training; returns the losses of every step and seconds spent."""
    settings, model = objective.settings, objective.model
    optimizer = make_optimizer(model, settings)
    first, log, before = checkpoint.restore(model, optimizer)
    saved = shown = time.monotonic()
    started = time.monotonic()
    for step in range(first, settings.steps):
        log.append(one_step(objective, optimizer, step, team))
        if not team.first:
            continue
        now = time.monotonic()
        if now - shown >= PROGRESS_SECONDS or step + 1 == settings.steps:
            _show(settings, step + 1, log[-1], (now - started) / (step + 1 - first))
            shown = now
        if now - saved >= settings.checkpoint_seconds and step + 1 < settings.steps:
            checkpoint.save(model, optimizer, step + 1, log, before + now - begun)
            saved = time.monotonic()
    return log, before + time.monotonic() - begun


def one_step(
    objective: Objective, optimizer: torch.optim.Optimizer, step: int, team: Team
) -> dict[str, float]:
    """One optimizer step over `accumulation` batches; returns its losses for the log."""
    settings, model = objective.settings, objective.model
    rate = learning_rate(settings, step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    shown: dict[str, float] = {}
    for part in team.parts(settings.accumulation):
        # Dropout reads torch's generator: seeded by batch, a resumed run is the same run, and so
        # is one that several processes share.
        torch.manual_seed(_torch_seed(objective.seed, f"step.{step}" + f".{part}" * (part > 0)))
        total, losses = objective.losses(step, part)
        (total / settings.accumulation).backward()
        for name, value in losses.items():
            shown[name] = shown.get(name, 0.0) + value / settings.accumulation
    team.sum_gradients(model.parameters())
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    stage = 1 if step < settings.stage1_steps else 2
    return {"step": step, "stage": stage, "learning_rate": rate} | team.sum_losses(shown)


def _torch_seed(seed: int, name: str) -> int:
    return int(rng(seed, "torch", name).integers(2**62))


def _show(settings: TrainSettings, done: int, losses: Mapping[str, float], pace: float) -> None:
    left = round((settings.steps - done) * pace)
    print(
        f"train: stage {losses['stage']}, step {done}/{settings.steps} "
        f"({100 * done // settings.steps}%), loss {losses['total']:.3f}, {left} s left",
        flush=True,
    )


def write_losses(path: Path, log: Sequence[Mapping[str, float]]) -> None:
    """Write one row a step; a loss that a stage does not have is null there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in log for name in row))
    table = pa.table({name: [row.get(name) for row in log] for name in names})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
