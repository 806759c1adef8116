"""The training of one model: deterministic, and resumable to the same bits on one machine."""

import ctypes
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from g2vlm.models.checkpoint import save_model
from g2vlm.models.config import ModelConfig, method_switches, model_sizes
from g2vlm.models.file_format import sentence
from g2vlm.models.layers import seed_dropout
from g2vlm.models.model import G2VLM
from g2vlm.models.probe import RetrievalProbe
from g2vlm.run.memory import peak_memory_mb
from g2vlm.training.data import TrainSet, fixed_share
from g2vlm.training.objective import Objective
from g2vlm.training.optimizer import Optimizer, learning_rate, make_optimizer
from g2vlm.training.process_group import ProcessGroup
from g2vlm.training.resume import Checkpoint, training_key
from g2vlm.training.second_stage import (
    cache_features,
    caption_embeddings,
    fit_box_head,
    fit_retrieval_head,
    predict_boxes,
)
from g2vlm.training.settings import TrainSettings
from g2vlm.training.text_heads import train_qa_head, train_referring_head
from metrics.files import atomic_path, rng, write_json

PROGRESS_SECONDS = 5.0
# What a training reads, in the experiment's folder.
INPUTS = (
    "training/*.safetensors",
    "scenes/train/*.jsonl",
    "features/images/train/*.safetensors",
    "features/texts/*",
)
# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def train(
    config: Mapping[str, Any],
    method: Mapping[str, Any],
    results: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    checkpoint_dir: str | os.PathLike[str],
    seed: int,
    threads: int = 1,
) -> None:
    """Train one method with one seed.

    A training that was killed continues from its checkpoint.

    Args:
        config: the experiment's config.
        method: content of a method file with its `name`. A study's variant may add `scenes`, the
            share of training scenes, and its own `train` section.
        results: the experiment's folder; its `training`, `features` and annotations are read.
        out_dir: where model.safetensors, config.json, losses.parquet, cost.json and the retrieval
            probe are written.
        checkpoint_dir: where the checkpoint of an unfinished training is kept.
        seed: of the training.
        threads: threads of PyTorch.

    Raises:
        InputError: for invalid settings, or a checkpoint of another config or data.
    """
    keep_memory()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    settings = TrainSettings.from_config(method.get("train", config["train"]))
    share = float(method.get("scenes", 1.0))
    begun = time.monotonic()
    data = load_train_set(Path(results), share)
    model_config = configure(config, method, settings, data)
    parts = {
        "model": asdict(model_config),
        "train": asdict(settings) | {"checkpoint_seconds": None, "processes": None},
        "seed": seed,
        "scenes": share,
        "torch": torch.__version__,
    }
    inputs = [path for pattern in INPUTS for path in sorted(Path(results).glob(pattern))]
    checkpoint = Checkpoint(Path(checkpoint_dir), training_key(parts, inputs))
    torch.manual_seed(int(rng(seed, "torch", "weights").integers(2**62)))
    model = G2VLM(model_config).train()
    model.encoder.fit(
        (one.inputs, one.depth) for one in map(data.scenes.__getitem__, data.measured)
    )
    group = ProcessGroup()
    model.to(group.device)
    objective = Objective(model, data, settings, seed)
    log, seconds = run_steps(objective, checkpoint, begun, group)
    # The other processes need not wait while the main one fits the heads.
    group.leave()
    if group.is_main:
        probe, more = fit_heads(objective)
        seconds += more
        meta = {
            "method": model_config.method,
            "seed": seed,
            "train": asdict(settings),
            "key": checkpoint.key,
            "scenes": len(data.scenes),
            "encoders": dict(config.get("encode", {})),
        }
        probe.save(out_dir)
        write_result(Path(out_dir), model, meta, log, seconds)
        checkpoint.clear()


def fit_heads(objective: Objective) -> tuple[RetrievalProbe, float]:
    """Fit the heads on cached features of the frozen network.

    The box head is fitted where boxes were supervised, the referring and question-answering heads
    where there is language, and the retrieval head where there is L_align.

    Returns:
        the retrieval probe, which is no part of the model, and the seconds spent.
    """
    model, data, seed = objective.model, objective.data, objective.seed
    config, settings, started = model.config, objective.settings, time.monotonic()
    pooled, cached = cache_features(model, data.scenes)
    losses: dict[str, float | None] = {}
    if config.votes:
        losses["box_head"] = fit_box_head(
            model, cached, objective.supervised, seed, settings.box_head_steps
        )
    # The next heads learn from the boxes that inference will predict.
    cached = predict_boxes(model, cached)
    text_heads = {
        "referring_head": (train_referring_head, settings.referring_head_steps),
        "qa_head": (train_qa_head, settings.qa_head_steps),
    }
    for head, (train_head, steps) in text_heads.items() if config.language else ():
        found = train_head(model, cached, data, seed, steps)
        losses |= {f"{head}/{name}": value for name, value in found.items()}
    captions = caption_embeddings(data)
    if config.language and config.align_loss:
        losses["retrieval_head"] = fit_retrieval_head(model.descriptors, pooled, captions, seed)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in losses.items() if value is not None)
    print(f"train: fitted heads on cached features, losses {listed or 'none'}", flush=True)
    return RetrievalProbe.fit(pooled.cpu().numpy(), captions), time.monotonic() - started


def write_result(
    out_dir: Path,
    model: G2VLM,
    meta: Mapping[str, Any],
    log: Sequence[Mapping[str, float]],
    seconds: float,
) -> None:
    """Write the losses, the cost of the training and, last, the model."""
    # One row per step; a loss that a step does not have is null.
    names = dict.fromkeys(name for row in log for name in row)
    table = pa.table({name: [row.get(name) for row in log] for name in names})
    with atomic_path(out_dir / "losses.parquet") as temporary:
        pq.write_table(table, temporary)
    write_json(
        out_dir / "cost.json",
        {
            "parameters": sum(p.numel() for p in model.parameters()),
            "train_seconds": round(seconds, 2),
            "peak_memory_mb": peak_memory_mb(),
        },
    )
    save_model(model, out_dir, meta)
    print(f"train: {sentence(out_dir)}", flush=True)


def keep_memory() -> None:
    """Let glibc keep freed memory instead of returning it to the system.

    A step frees and allocates hundreds of megabytes, and page faults on them took a quarter of its
    time. Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
        mallopt(parameter, value)


def load_train_set(results: Path, share: float = 1.0) -> TrainSet:
    """Open the training scenes of an experiment, or a share of them; a smaller one is a subset."""
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.scenes.assets.classes import CLASSES
    from g2vlm.scenes.dataset import SceneStore
    from g2vlm.scenes.language.generate import facts_hold, phrase_holds
    from g2vlm.scenes.language.mention_parser import parse_mentions
    from g2vlm.training.shards import ShardedScenes

    store = SceneStore(results / "scenes" / "train")
    used = fixed_share(store.ids, share, "train_scenes").tolist()
    scenes = ShardedScenes(
        results / "training",
        store,
        ImageFeatures(results / "features" / "images" / "train"),
        CLASSES,
        list(compress(store.ids, used)),
    )
    texts = TextFeatures(results / "features")
    return TrainSet(scenes, texts, CLASSES, facts_hold, phrase_holds, parse_mentions)


def configure(
    config: Mapping[str, Any], method: Mapping[str, Any], settings: TrainSettings, data: TrainSet
) -> ModelConfig:
    """Return the model's configuration from the experiment, the method and the training data."""
    first = data.scenes[0].inputs
    return ModelConfig(
        height=int(config["render"]["height"]),
        width=int(config["render"]["width"]),
        classes=data.classes,
        words=data.words,
        colours=data.colours,
        method=method["name"],
        dropout=settings.dropout,
        token_features=first.tokens.shape[-1],
        point_features=first.features.shape[-1],
        text_features=data.texts.width,
        views=len(first.pose),
        **model_sizes(config),
        **method_switches(method, f"method {method['name']}"),
    )


def run_steps(
    objective: Objective, checkpoint: Checkpoint, begun: float, group: ProcessGroup
) -> tuple[list[dict[str, float]], float]:
    """Run the steps that are left.

    Returns:
        the losses of every step, and the seconds that the training has taken.
    """
    settings, model = objective.settings, objective.model
    optimizer = make_optimizer(model, settings)
    first, log, before = checkpoint.restore(model, optimizer)
    saved = reported = started = time.monotonic()
    for step in range(first, settings.steps):
        log.append(one_step(objective, optimizer, step, group))
        if not group.is_main:
            continue
        now = time.monotonic()
        if now - reported >= PROGRESS_SECONDS or step + 1 == settings.steps:
            left = round((settings.steps - step - 1) * (now - started) / (step + 1 - first))
            print(
                f"train: stage {log[-1]['stage']}, step {step + 1}/{settings.steps} "
                f"({100 * (step + 1) // settings.steps}%), loss {log[-1]['total']:.3f}, "
                f"{left} s left",
                flush=True,
            )
            reported = now
        if now - saved >= settings.checkpoint_seconds and step + 1 < settings.steps:
            checkpoint.save(model, optimizer, step + 1, log, before + now - begun)
            saved = time.monotonic()
    return log, before + time.monotonic() - begun


def one_step(
    objective: Objective, optimizer: Optimizer, step: int, group: ProcessGroup
) -> dict[str, float]:
    """Take one optimizer step over `accumulation` batches; return its losses for the log."""
    settings, model = objective.settings, objective.model
    rate = learning_rate(settings, step)
    optimizer.zero_grad()
    logged: dict[str, float] = {}
    for part in group.parts(settings.accumulation):
        # Seeding by batch makes a resumed training, and one that several processes share, the same
        # training.
        seed_dropout(model, objective.seed, f"{step}.{part}")
        total, losses = objective.losses(step, part)
        (total / settings.accumulation).backward()
        for name, value in losses.items():
            logged[name] = logged.get(name, 0.0) + value / settings.accumulation
    group.sum_gradients(model.parameters())
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step(rate)
    stage = 1 if step < settings.stage1_steps else 2
    return {"step": step, "stage": stage, "learning_rate": rate} | group.sum_losses(logged)
