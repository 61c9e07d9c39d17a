#!/usr/bin/env python3
"""Train networks of a front on your own data, with PyTorch alone.

    python train.py --data images.npz                  # network 1
    python train.py --data pictures/ --member all --epochs 100 --seed 1 --resume

This file stands beside one folder a network, with `network.py`, `weights.pt` and `choices.json`.

Data are a FILE.npz with `images` (or `inputs`): images (N, C, H, W) or signals (N, C, T), bytes or
real numbers, vectors (N, F) or tokens (N, T); and `labels`: classes (N,) from 0 on or of each
position, next tokens, or real targets; or a folder with a folder of pictures a class (by Pillow).
Positions whose label is `ignore_index` of the file, or -100 where it has none, are left out, and
real targets that are `ignore_index`, which may be NaN. Maps that a network gives at a fraction of
the labels' size are interpolated (bi)linearly to it.
A `split` (N,) of the texts train and test, or the folders `train` and `test` with the classes below
them, say what is tested; else a share of each class is, the same in every run. Bytes, samples of 16
bits and real targets are scaled to mean 0 and deviation 1 of the training ones in each channel.

The test accuracy of the last epoch, in percent, is added to a CSV file as one line a run: the share
of labels told right, of classes of positions beside `miou`, the mean intersection over union; of
real targets the coefficient of determination R^2, 0 at least. Its `settings` name the data by a
checksum. A run that was stopped goes on with `--resume`, on a CPU exactly as if it had not been
stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import runpy
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

NOW = ["loading PyTorch"]
BOTH = sys.stdout.isatty() and sys.stderr.isatty()
CLEAR, END, PAUSE = ("\x1b[2K", "\r", 0.5) if BOTH else ("", "\n", 30.0)


def tell() -> None:
    """Say what is done now: a line that is drawn anew on a terminal, else one twice a minute."""
    while True:
        time.sleep(PAUSE)
        print(CLEAR + NOW[0], end=END, file=sys.stderr, flush=True)


try:
    if __name__ == "__main__":
        threading.Thread(target=tell, daemon=True).start()
    import torch
    from torch import Tensor, nn

    from hwnas.torch_source.train_data import IGNORED, Data, UserError, moments, read_data
except ImportError as error:
    sys.exit(f"train.py: it needs PyTorch, NumPy and train_data.py beside it ({error}).")

HERE = Path(__file__).resolve().parent
NAMES = {"accuracy": "accuracy", "miou": "mIoU"}


@dataclass(frozen=True)
class Settings:
    """What decides the outcome of a run."""

    epochs: int  # passes over the training inputs
    batch: int  # inputs a step
    optimizer: str  # sgd (Nesterov momentum 0.9) or adamw
    lr: float  # learning rate at its highest
    warmup: float  # epochs in which it rises from 0; afterwards it falls to 0 along a cosine
    weight_decay: float  # of weights; norms and biases have none
    label_smoothing: float  # share of each label that is spread over all classes
    flip: bool  # mirror half of the images from left to right
    crop: int  # pixels by which images are moved at random, with zeros at the border
    fresh: bool  # draw weights by PyTorch's own initialisation instead of `weights.pt`
    precision: str  # float32, bfloat16 or float16 (mixed with float32)
    test_share: float  # share of each class that is tested where the data do not say
    seed: int  # of order, moves, dropout and new weights
    data: str = ""  # checksum of inputs and labels


def members() -> dict[int, Path]:
    """Find the folders of the networks beside this file, by their number."""
    found = sorted(HERE.glob("[0-9]*-*/choices.json"))
    return {int(file.parent.name.split("-")[0]): file.parent for file in found}


def load_network(folder: Path, fresh: bool) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of a folder, with its own weights or new ones, and read its choices."""
    choices = json.loads((folder / "choices.json").read_text(encoding="utf-8"))
    network: nn.Module = runpy.run_path(str(folder / "network.py"))["build"]()
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    for part in network.modules() if fresh else ():
        getattr(part, "reset_parameters", lambda: None)()
    return network, choices


def check(data: Data, choices: dict[str, Any], settings: Settings) -> None:
    """Refuse data that the network was not built for, and moves that labels do not follow."""
    task = choices["task"]
    ((kind, number),) = task.get("output", {"Logits": task.get("num_classes")}).items()
    shape = tuple(task.get("in_shape") or task["input"]["shape"])
    positions = {"Logits": (), "NextToken": shape, "Regression": ()}.get(kind, shape[1:])
    real, (inputs, labels) = kind.startswith("Regression"), data.train
    wanted = shape, (number, *positions) if real else positions, real, number
    got = tuple(inputs.shape[1:]), tuple(labels.shape[1:]), labels.is_floating_point()
    highest = 0 if got[2] else int(max(labels.max(), data.test[1].max()))
    if got != wanted[:3] or not (real or highest < number):
        takes, have = (
            f"{size} and {'numbers' if real else f'{n} classes'}{f' of shape {at}' if at else ''}"
            for size, at, real, n in (wanted, (*got, highest + 1))
        )
        more = ""
        if got == wanted[:3] and positions:
            two = bool(((labels <= 0) | (labels == highest)).all())
            more = f" divide labels of 0 and {highest} by {highest}, or" if two else ""
            more = f";{more} name a label to leave out as `ignore_index` in the file"
        raise UserError(
            f"the network takes inputs of shape {takes}, but the data have {have}{more}."
        )
    if (settings.flip or settings.crop) and (inputs.ndim != 4 or labels.ndim > 2):
        raise UserError("--flip and --crop move images with labels of the whole image, no others.")


def make_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Make the optimizer; what has one axis, norms and biases, does not decay."""
    weights = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True)


def rate(progress: float, settings: Settings) -> float:
    """Give the learning rate after so many epochs: a line up, then half a cosine down."""
    if progress < settings.warmup:
        return settings.lr * progress / settings.warmup
    done = (progress - settings.warmup) / max(settings.epochs - settings.warmup, 1e-9)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def moved(inputs: Tensor, settings: Settings) -> Tensor:
    """Mirror and move each of (B, C, H, W) images at random; nothing else is moved."""
    if settings.flip:
        mirrored = torch.rand(len(inputs), 1, 1, 1, device=inputs.device) < 0.5
        inputs = torch.where(mirrored, inputs.flip(-1), inputs)
    if settings.crop:
        height, width, pad = *inputs.shape[-2:], settings.crop
        wide = nn.functional.pad(inputs, (pad,) * 4)
        down, right = torch.randint(0, 2 * pad + 1, (2, len(inputs), 1, 1), device=inputs.device)
        rows = down + torch.arange(height, device=inputs.device)[:, None]
        columns = right + torch.arange(width, device=inputs.device)
        which = torch.arange(len(inputs), device=inputs.device)[:, None, None]
        inputs = wide.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)
    return inputs


def batches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Give the places of each step in a random order; a last step that is not full is left out."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    size = min(size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def resized(answers: Tensor, sides: Sequence[int]) -> Tensor:
    """Bring a map (B, K, ...) whose sides are the labels' over a whole number to these."""
    coarse = tuple(answers.shape[2:])
    factors, pairs = range(2, max(sides) + 1), list(zip(sides, coarse, strict=True))
    if not any(all(c in (f // n, -(-f // n)) for f, c in pairs) for n in factors):
        raise UserError(
            f"the network answers maps of {coarse} positions, no whole fraction of the labels' "
            f"{tuple(sides)}."
        )
    mode = "bilinear" if len(sides) == 2 else "linear"
    return nn.functional.interpolate(answers, tuple(sides), mode=mode)


def mean_iou(counts: Tensor) -> float:
    """Give the mean intersection over union of a (K, K) table of labels and answers, in percent.

    Of class k it is n_kk / (sum_j n_kj + sum_j n_jk - n_kk) (Long et al., Fully Convolutional
    Networks for Semantic Segmentation, CVPR 2015). Classes that are neither labels nor answers have
    none and are left out of the mean.
    """
    both = counts.diagonal()
    either = counts.sum(0) + counts.sum(1) - both
    return 100 * float((both / either)[either > 0].mean())


def explained(targets: Tensor, answers: Tensor) -> float:
    """Give R^2 in percent: 1 - mean (y - a)^2 / var y, the mean over n targets (N, n, ...)."""
    known, over = ~targets.isnan(), (0, *range(2, targets.ndim))
    errors = (targets.nan_to_num() - answers.double()).square() * known
    error = errors.sum(over) / known.sum(over)
    return 100 * max(float((1 - error / moments(targets)[1].flatten() ** 2).mean()), 0.0)


class Run:
    """One training, with all that a checkpoint keeps."""

    def __init__(self, network: nn.Module, settings: Settings, device: torch.device) -> None:
        self.network = network.to(device)
        self.settings, self.device = settings, device
        self.optimizer = make_optimizer(network, settings)
        self.scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "float16")
        self.epoch, self.seconds = 0, 0.0

    def autocast(self) -> torch.autocast:
        """Compute in the precision of the settings where that is safe."""
        dtype = getattr(torch, self.settings.precision)
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def train_epoch(self, data: Data) -> float:
        """Train one epoch and give the mean loss."""
        self.network.train()
        began, inputs, labels = time.perf_counter(), *data.train
        seed = self.settings.seed * 1_000_003 + self.epoch
        steps = list(batches(len(labels), self.settings.batch, seed))
        total = torch.zeros((), device=self.device)
        for number, places in enumerate(steps):
            NOW[0] = f"epoch {self.epoch + 1}  step {number + 1}/{len(steps)}"
            for group in self.optimizer.param_groups:
                group["lr"] = rate(self.epoch + (number + 1) / len(steps), self.settings)
            batch = moved(data.scaled(inputs[places], self.device), self.settings)
            total += self._step(batch, labels[places].to(self.device))
        self.epoch += 1
        self.seconds += time.perf_counter() - began
        if not torch.isfinite(total):
            raise UserError("the loss is no number any more: lower --lr, or train in float32.")
        return float(total) / len(steps)

    def answer(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Give classes or targets in dimension 1, positions as the labels (B, ...) have them."""
        found: Tensor = self.network(inputs)
        found = found.transpose(1, 2) if found.ndim > inputs.ndim else found  # of (B, T, V)
        real = labels.is_floating_point()
        if found.ndim != labels.ndim + (not real) or (real and found.shape[1] != labels.shape[1]):
            shapes = " for labels of ".join(str(tuple(t.shape[1:])) for t in (found, labels))
            raise UserError(f"the network answers {shapes} an input, which do not fit each other.")
        sides = labels.shape[2 if real else 1 :]
        return found if found.shape[2:] == sides else resized(found, sides)

    def _step(self, inputs: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            found, smoothed = self.answer(inputs, labels), self.settings.label_smoothing
            if labels.is_floating_point():
                known, wanted = ~labels.isnan(), labels.nan_to_num()
                total = (nn.functional.mse_loss(found, wanted, reduction="none") * known).sum()
            else:
                known, total = (
                    labels != IGNORED,
                    nn.functional.cross_entropy(
                        found,
                        labels,
                        ignore_index=IGNORED,
                        label_smoothing=smoothed,
                        reduction="sum",
                    ),
                )
            loss = total / known.sum().clamp(min=1)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    @torch.no_grad()
    def judge(self, data: Data) -> dict[str, float]:
        """Give what the test says in percent, by column.

        That is the `accuracy`: the share of labels that are told right, or R^2 of real targets; and
        for classes of positions `miou`, the mean intersection over union. What has no label counts
        in none of them.
        """
        self.network.eval()
        NOW[0], (inputs, labels), size = "testing", data.test, self.settings.batch
        real, found, right, counts = labels.is_floating_point(), list[Tensor](), 0, torch.tensor(0)
        for start in range(0, len(labels), size):
            part, wanted = (tensor[start : start + size] for tensor in (inputs, labels))
            with self.autocast():
                answer = self.answer(data.scaled(part, self.device), wanted)
            if real:
                found.append(answer.cpu())
                continue
            classes, told = answer.shape[1], answer.argmax(dim=1).cpu()
            right += int((told == wanted).sum())
            if data.of_positions:
                pairs = (wanted * classes + told)[wanted != IGNORED]
                counts = counts + torch.bincount(pairs, minlength=classes**2).view(classes, classes)
        if real:
            return {"accuracy": explained(labels, torch.cat(found))}
        accuracy = {"accuracy": 100 * right / int((labels != IGNORED).sum())}
        return {**accuracy, "miou": mean_iou(counts)} if data.of_positions else accuracy

    def save(self, file: Path) -> None:
        """Write a checkpoint that is whole or not there."""
        state = {
            "settings": asdict(self.settings),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.{os.getpid()}")
        torch.save(state, scratch)
        scratch.replace(file)

    def restore(self, file: Path) -> None:
        """Go on exactly where a checkpoint was written."""
        state = torch.load(file, map_location="cpu", weights_only=True)
        now, then = asdict(self.settings), state["settings"]
        for name in now:
            # Earlier versions did not name the data.
            if now[name] != then.get(name, now[name]):
                raise UserError(f"{file} was made with {name} {then[name]}, not {now[name]}.")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])


def train(folder: Path, data: Data, settings: Settings, options: argparse.Namespace) -> None:
    """Train one network to its end, and note its accuracy."""
    torch.manual_seed(settings.seed)
    network, choices = load_network(folder, settings.fresh)
    check(data, choices, settings)
    noted(options.csv, data)
    run = Run(network, settings, torch.device(options.device))
    checkpoint = options.out / f"{folder.name}-seed{settings.seed}" / "checkpoint.pt"
    if checkpoint.exists():
        if not options.resume:
            raise UserError(f"{checkpoint} exists: go on with --resume, or name another --out.")
        run.restore(checkpoint)
    while run.epoch < settings.epochs:
        loss = run.train_epoch(data)
        run.save(checkpoint)
        told = f"{folder.name}  epoch {run.epoch}/{settings.epochs}  loss {loss:.4f}"
        print(CLEAR + told, flush=True)
    found = run.judge(data)
    names = {"accuracy": "R^2"} if data.test[1].is_floating_point() else NAMES
    told = ", ".join(f"{names[name]} {value:.2f} %" for name, value in found.items())
    print(f"{CLEAR}{folder.name}  test {told}", flush=True)
    texts = {name: value for name, value in asdict(settings).items() if name != "seed"}
    text = choices.get("architecture", choices.get("arch"))  # as earlier versions wrote it
    row = [text, *(f"{value:.4f}" for value in found.values()), choices["member"], settings.seed]
    row += [settings.epochs, len(data.test[1]), f"{run.seconds:.1f}"]
    note(options.csv, data, [*map(str, row), json.dumps(texts, sort_keys=True)])


def columns(data: Data) -> list[str]:
    """Name the columns of the file of accuracies."""
    judged = "accuracy,miou" if data.of_positions else "accuracy"
    return f"architecture,{judged},member,seed,epochs,test_images,seconds,settings".split(",")


def noted(file: Path, data: Data) -> list[list[str]]:
    """Read the lines of the file of accuracies, the header first; none where it is not there."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        lines, names = list(csv.reader(stream)), columns(data)
    if lines and lines[0] not in (names, ["arch", *names[1:]]):
        raise UserError(
            f"--csv {file} must have the columns {','.join(names)}: name another file, in which "
            f"--resume notes finished runs, too."
        )
    return lines


def note(file: Path, data: Data, row: Sequence[str]) -> None:
    """Add a line unless the same run, of equal network, seed and settings, is there."""
    lines, names = noted(file, data), columns(data)
    same = [names.index(name) for name in ("architecture", "seed", "settings")]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if not lines:
            writer.writerow(names)
        if not any([line[i] for i in same] == [row[i] for i in same] for line in lines[1:]):
            writer.writerow(row)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--data", type=Path, required=True, help="FILE.npz, or a FOLDER or FOLDER@HxW of pictures")
    add("--member", nargs="+", default=["1"], help="numbers of networks, or all [default: 1]")
    add("--epochs", type=int, default=30)
    add("--batch", type=int, default=128, help="images a step")
    add("--optimizer", choices=["sgd", "adamw"], default="sgd")
    add("--lr", type=float, help="highest learning rate [default: 0.1 for sgd, 0.001 for adamw]")
    add("--warmup", type=float, default=2.0, help="epochs in which the rate rises")
    add("--weight-decay", type=float, help="[default: 0.0005 for sgd, 0.05 for adamw]")
    add("--label-smoothing", type=float, default=0.0)
    add("--flip", action="store_true", help="mirror half of the images")
    add("--crop", type=int, default=0, metavar="PIXELS", help="move images at random")
    add("--fresh", action="store_true", help="new weights by PyTorch instead of weights.pt")
    add("--precision", choices=["auto", "float32", "bfloat16", "float16"], default="auto")
    add("--test-share", type=float, default=0.2, help="where the data have no split")
    add("--seed", type=int, default=0)
    add("--device", help="[default: cuda or mps where there is one, else cpu]")
    add("--resume", action="store_true", help="go on where a run was stopped")
    add("--out", type=Path, default=HERE / "runs", help="folder of checkpoints")
    add("--csv", type=Path, default=HERE / "accuracy.csv", help="file of accuracies")
    return parser.parse_args(arguments)


def chosen_settings(options: argparse.Namespace) -> Settings:
    """Fill in what depends on optimizer and device, and refuse numbers out of range."""
    sgd = options.optimizer == "sgd"
    options.lr = (0.1 if sgd else 1e-3) if options.lr is None else options.lr
    decay = options.weight_decay
    options.weight_decay = (5e-4 if sgd else 0.05) if decay is None else decay
    if options.device is None:
        mps = torch.backends.mps.is_available()
        options.device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if options.precision == "auto":
        cuda = options.device.startswith("cuda")
        half = "bfloat16" if cuda and torch.cuda.is_bf16_supported() else "float16"
        options.precision = half if cuda else "float32"
    for name in ("epochs", "batch", "lr"):
        if not (value := getattr(options, name)) > 0:
            raise UserError(f"--{name} must be above 0, but got {value}.")
    if not 0 < options.test_share < 1 or min(options.crop, options.warmup, options.seed) < 0:
        raise UserError("--test-share must be in 0 to 1; --crop, --warmup and --seed at least 0.")
    names = [name for name in Settings.__annotations__ if name != "data"]
    return Settings(**{name: getattr(options, name) for name in names})


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the chosen networks one after another; 2 for what the user can put right."""
    options = parse(arguments)
    try:
        settings, known = chosen_settings(options), members()
        names = list(map(str, known)) if options.member == ["all"] else options.member
        if absent := [name for name in names if name not in map(str, known)]:
            text = ", ".join(map(str, known)) or "none"
            raise UserError(f"--member must be one of {text}, or all, but got {absent[0]}.")
        NOW[0] = "reading the data"
        data = read_data(options.data, settings.test_share)
        settings = replace(settings, data=data.checksum())
        for name in names:
            train(known[int(name)], data, settings, options)
    except UserError as error:
        print(f"{CLEAR}train.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
