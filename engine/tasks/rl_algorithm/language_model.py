"""The large setting: train a Hugging Face causal model on the user's prompts with verifiable answers.

The contract is that of the small policies: the candidate sees rewards, masks and log-probabilities. It needs the extra
`rl` (transformers) in the task's interpreter. One evaluation holds the model, its reference copy and AdamW's two
moments: 16 bytes per weight and more, or half of it in bfloat16.
"""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from answers import SetupError, is_right, read_rows, split_rows
from candidate import Candidate, Hand
from torch.nn import functional as F

__all__ = ["LanguageModel", "evaluate_model", "load"]


def load(path: str, device: str) -> tuple[Any, Any]:
    """Load a causal model and its tokenizer from a folder.

    Raises:
        SetupError: transformers is missing, the folder holds no model, or the tokenizer does not fit the model.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as exc:
        raise SetupError(
            f"the task's interpreter has no transformers ({exc}): install the extra 'rl' there, or name another "
            "interpreter as `python` in task.toml"
        ) from None
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise SetupError(f"`model` = '{path}' is no model: there is no config.json (is the folder among `mounts`?)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True, dtype="auto")
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError) as exc:
        raise SetupError(f"`model` = '{path}' cannot be loaded: {' '.join(str(exc).split())[:300]}") from None
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise SetupError(
            f"the tokenizer in '{path}' does not fit: it has {len(tokenizer)} tokens, the model has {rows} embeddings"
        )
    if tokenizer.eos_token_id is None:
        raise SetupError(f"the tokenizer in '{path}' does not fit: it has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer


class LanguageModel:
    """The policy, its reference copy, and the prompts.

    Args:
        settings: model, data, held_out, steps, prompts, answers, batches, epochs, learning_rate, clip_norm,
            max_prompt_tokens, max_new_tokens, micro_batch.
        device: `cpu` or `cuda`.
    """

    def __init__(self, settings: dict[str, Any], seed: int, device: str) -> None:
        self.settings, self.device = settings, device
        self.rows, self.held_out = split_rows(read_rows(settings["data"]), settings["held_out"], settings["data"])
        self.model, self.tokenizer = load(settings["model"], device)
        self.reference, _ = load(settings["model"], device)
        self.reference.requires_grad_(False)
        self._check_prompts()
        torch.manual_seed(seed)
        self.rng = torch.Generator().manual_seed(seed + 1)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings["learning_rate"], betas=(0.9, 0.95), weight_decay=0.0
        )

    def _check_prompts(self) -> None:
        """Refuse prompts that the tokenizer cannot encode."""
        limit, unknown = self.settings["max_prompt_tokens"], self.tokenizer.unk_token_id
        for row in self.rows + self.held_out:
            ids = self.tokenizer(row["prompt"])["input_ids"]
            if not ids or (unknown is not None and 2 * ids.count(unknown) > len(ids)):
                raise SetupError(
                    f"{self.settings['data']}:{row['line']}: the tokenizer does not fit: {ids.count(unknown)} of the "
                    f"prompt's {len(ids)} tokens are unknown to it"
                )
            if len(ids) > limit:
                raise SetupError(
                    f"{self.settings['data']}:{row['line']}: the prompt has {len(ids)} tokens, above "
                    f"`max_prompt_tokens` = {limit}"
                )

    def write(self, rows: list[dict[str, Any]], copies: int) -> dict[str, torch.Tensor]:
        """Write answers to prompts: sampled if `copies` is more than one, else the likeliest.

        Returns:
            `context` [n, length] and `seen` (its attention mask), `tokens` and `mask` [n, T], n = len(rows) * copies.
        """
        asked = self.tokenizer([row["prompt"] for row in rows], return_tensors="pt", padding=True).to(self.device)
        sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if copies > 1 else {}
        with torch.no_grad():
            written = self.model.generate(
                input_ids=asked["input_ids"],
                attention_mask=asked["attention_mask"],
                max_new_tokens=self.settings["max_new_tokens"],
                num_return_sequences=copies,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                **({"do_sample": False} | sampling),
            )
        width = asked["input_ids"].shape[1]
        tokens = written[:, width:]
        ended = (tokens == self.tokenizer.eos_token_id).int()
        mask = ((ended.cumsum(1) - ended) == 0).float()
        seen = asked["attention_mask"].repeat_interleave(copies, 0)
        return {"context": written[:, :width], "seen": seen, "tokens": tokens, "mask": mask}

    def texts(self, written: dict[str, torch.Tensor]) -> list[str]:
        """Decode the answers, up to their ends."""
        lengths = written["mask"].sum(1).int().tolist()
        return [
            self.tokenizer.decode(tokens[:length], skip_special_tokens=True)
            for tokens, length in zip(written["tokens"], lengths, strict=True)
        ]

    def score(self, model: Any, written: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log-probability of each token and the entropy at its position, [n, T] float32."""
        tokens, count = written["tokens"], written["tokens"].shape[1]
        seen = torch.cat([written["seen"], written["mask"].to(written["seen"].dtype)], 1)
        places = (seen.cumsum(1) - 1).clamp(min=0)
        logits = model(
            input_ids=torch.cat([written["context"], tokens], 1), attention_mask=seen, position_ids=places
        ).logits[:, -count - 1 : -1]
        logp = F.log_softmax(logits.float(), -1)
        return logp.gather(2, tokens[..., None])[..., 0], -(logp.exp() * logp).sum(-1)

    def parts(self, written: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        """Split written answers into pieces that fit the memory."""
        size = self.settings["micro_batch"]
        pieces = [value.split(size) for value in written.values()]
        return [dict(zip(written, piece, strict=True)) for piece in zip(*pieces, strict=True)]

    def scores(self, model: Any, written: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Run `score` without gradients, piece by piece; return the results on the CPU."""
        with torch.no_grad():
            found = [self.score(model, part) for part in self.parts(written)]
        return torch.cat([logp for logp, _ in found]).cpu(), torch.cat([entropy for _, entropy in found]).cpu()

    def step(self, hand: Hand, progress: float) -> dict[str, float]:
        """Run one round of sampling and learning; return its measurements."""
        settings = self.settings
        count, copies = min(settings["prompts"], len(self.rows)), settings["answers"]
        rows = [self.rows[index] for index in torch.randperm(len(self.rows), generator=self.rng)[:count].tolist()]
        written = self.write(rows, copies)
        right = [is_right(text, rows[index // copies]["answer"]) for index, text in enumerate(self.texts(written))]
        reward = torch.tensor(right, dtype=torch.float32).view(count, copies)
        mask = written["mask"].cpu()
        shape = (count, copies, mask.shape[1])
        fixed = {"logp_old": self.scores(self.model, written)[0], "logp_ref": self.scores(self.reference, written)[0]}
        fixed = {name: value.view(shape) for name, value in fixed.items()} | {"mask": mask.view(shape)}
        fixed["advantages"] = torch.from_numpy(
            hand.advantages(reward.numpy(), fixed["mask"].numpy(), fixed["logp_old"].numpy(), progress)
        )
        measured: list[dict[str, float]] = []
        for _ in range(settings["epochs"]):
            for chosen in torch.randperm(count, generator=self.rng).chunk(settings["batches"]):
                answers = (chosen[:, None] * copies + torch.arange(copies)).flatten().to(self.device)
                part = {name: value[answers] for name, value in written.items()}
                measured.append(
                    self._update(hand, part, {name: value[chosen] for name, value in fixed.items()}, progress)
                )
        result = {name: statistics.fmean(found[name] for found in measured) for name in measured[0]}
        return result | {"reward": float(reward.mean()), "tokens": float(mask.sum()) / len(mask)}

    def _update(
        self, hand: Hand, written: dict[str, torch.Tensor], fixed: dict[str, torch.Tensor], progress: float
    ) -> dict[str, float]:
        """Take one optimizer step: score in pieces, get the gradient of the whole batch, score again to apply it."""
        shape, mask = fixed["mask"].shape, fixed["mask"]
        logp, entropy = (value.view(shape) for value in self.scores(self.model, written))
        arrays = {name: value.numpy() for name, value in (fixed | {"logp": logp, "entropy": entropy}).items()}
        loss, by_logp, by_entropy = hand.gradient(arrays, progress)
        by = [torch.from_numpy(array).mul(mask).flatten(0, 1).to(self.device) for array in (by_logp, by_entropy)]
        self.optimizer.zero_grad()
        start = 0
        for part in self.parts(written):
            found = self.score(self.model, part)
            torch.autograd.backward(found, [array[start : start + len(part["tokens"])] for array in by])
            start += len(part["tokens"])
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings["clip_norm"]))
        self.optimizer.step()
        difference = (fixed["logp_ref"] - logp).clamp(-20, 20)
        return {
            "loss": loss,
            "entropy": float((entropy * mask).sum() / mask.sum()),
            "kl": float(((difference.exp() - difference - 1) * mask).sum() / mask.sum()),
            "gradient": norm,
        }

    def measure(self) -> float:
        """Return the share of held-out prompts whose likeliest answer is right."""
        right = []
        for start in range(0, len(self.held_out), self.settings["micro_batch"]):
            rows = self.held_out[start : start + self.settings["micro_batch"]]
            texts = self.texts(self.write(rows, 1))
            right += [is_right(text, row["answer"]) for text, row in zip(texts, rows, strict=True)]
        return statistics.fmean(right)


def evaluate_model(candidate: Candidate, report: Any) -> dict[str, Any]:
    """Train a language model with a candidate; score the mean of final exact match and area under its curve."""
    settings, device = report.settings, "cuda" if report.device and torch.cuda.is_available() else "cpu"
    run = LanguageModel(settings, report.data_seed, device)
    hand, steps = Hand(candidate, "language model"), settings["steps"]
    curve = [run.measure()]
    found: dict[str, float] = {}
    highest_kl, began = 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        found = run.step(hand, (step - 1) / steps)
        highest_kl = max(highest_kl, found["kl"])
        if step % settings["measure_every"] == 0 or step == steps:
            curve.append(run.measure())
            report(step, exact=curve[-1], **found)
        else:
            report(step, **found)
    seconds = time.perf_counter() - began
    area = statistics.fmean((a + b) / 2 for a, b in itertools.pairwise(curve))
    return {
        "score": 0.5 * curve[-1] + 0.5 * area,
        "exact": curve[-1],
        "exact_before": curve[0],
        "area": area,
        "entropy": found["entropy"],
        "kl": found["kl"],
        "highest_kl": highest_kl,
        "held_out_prompts": len(run.held_out),
        "steps_per_s": steps / seconds,
        "algorithm_share": candidate.seconds / seconds,
    }
