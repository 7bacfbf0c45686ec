"""The peer of ``mmagent train``: the same fine-tuning by transformers' ``Trainer``, the encoder in the loop.

    python peer_finetune.py FOLDER

Written as one writes it by hand: a data set of pictures, a collator, and a module of encoder, adapter and
core. FOLDER/plan.json names models, rows, their order and the settings; FOLDER/adapter.safetensors is where
the adapter starts. Prints losses and seconds as JSON. Imports nothing of mmagent.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
)

BEFORE, AFTER = "Picture:", "\nQuestion: What is this?\nAnswer:"


class Pictures(Dataset):
    """Labelled pictures, opened when they are asked for."""

    def __init__(self, rows, processor):
        self.rows, self.processor = rows, processor

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, at):
        picture = Image.open(self.rows[at]["image"]).convert("RGB")
        return self.processor(images=picture, return_tensors="pt").pixel_values[0], self.rows[at]["answer"]


class Collator:
    """Pixels stacked; the text after the picture padded on the right, and labels on the answer alone."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def __call__(self, batch):
        texts, labels = [], []
        for _, answer in batch:
            after, target = self.ids(AFTER), [*self.ids(f" {answer}"), *self.ids("\n")[:1]]
            texts.append(torch.tensor(after + target))
            labels.append(torch.tensor([-100] * len(after) + target))
        return {
            "pixel_values": torch.stack([pixels for pixels, _ in batch]),
            "after": pad_sequence(texts, batch_first=True),
            "mask": pad_sequence([torch.ones_like(text) for text in texts], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
        }


class Model(nn.Module):
    """A frozen encoder, a linear prefix, a frozen core."""

    def __init__(self, encoder, core, before, adapter):
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.core = core.eval().requires_grad_(False)
        self.before = before
        out, d_encoder = adapter["linear.weight"].shape
        self.adapter = nn.Linear(d_encoder, out)
        self.adapter.load_state_dict({key.removeprefix("linear."): value for key, value in adapter.items()})
        self.losses = []

    def train(self, mode=True):
        super().train(mode)
        self.encoder.eval()
        self.core.eval()
        return self

    def forward(self, pixel_values, after, mask, labels):
        with torch.no_grad():
            seen = self.encoder(pixel_values=pixel_values)
            pooled = seen.pooler_output.flatten(1)  # (B, d_encoder)
        rows, embed = len(pooled), self.core.get_input_embeddings()
        prefix = self.adapter(pooled).view(rows, -1, self.core.config.hidden_size)  # (B, k, d_core)
        before = embed(self.before).expand(rows, -1, -1)
        lead = before.shape[1] + prefix.shape[1]
        out = self.core(
            inputs_embeds=torch.cat([before, prefix, embed(after)], dim=1),
            attention_mask=torch.cat([mask.new_ones(rows, lead), mask], dim=1),
            labels=torch.cat([labels.new_full((rows, lead), -100), labels], dim=1),
            use_cache=False,
        )
        self.losses.append(out.loss.item())
        return {"loss": out.loss}


class InOrder(Trainer):
    """Takes the batches in the order of the plan."""

    def __init__(self, order, **options):
        super().__init__(**options)
        self.order = order

    def get_train_dataloader(self):
        batches = DataLoader(self.train_dataset, batch_sampler=self.order, collate_fn=self.data_collator)
        return self.accelerator.prepare(batches)


def rate(step, steps, warmup):
    """Linear warm-up, then a cosine to nothing."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))


def main():
    folder = Path(sys.argv[1])
    plan = json.loads((folder / "plan.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(plan["core"])
    core = AutoModelForCausalLM.from_pretrained(plan["core"], dtype=torch.float32)
    encoder = AutoModel.from_pretrained(plan["encoder"], dtype=torch.float32)
    processor = AutoImageProcessor.from_pretrained(plan["encoder"], backend="pil")
    before = torch.tensor(tokenizer(BEFORE).input_ids)
    model = Model(encoder, core, before, load_file(folder / "adapter.safetensors"))
    groups = [
        {"params": [model.adapter.weight], "weight_decay": plan["weight_decay"]},
        {"params": [model.adapter.bias], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan["learning_rate"])
    steps = len(plan["order"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda at: rate(at, steps, plan["warmup"]))
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        max_steps=steps,
        max_grad_norm=plan["clip"],
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_strategy="no",
    )
    trainer = InOrder(
        order=plan["order"],
        model=model,
        args=arguments,
        train_dataset=Pictures(plan["rows"], processor),
        data_collator=Collator(tokenizer),
        optimizers=(optimiser, schedule),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    examples = sum(map(len, plan["order"]))
    print(json.dumps({"losses": model.losses, "seconds": wall, "cpu": cpu, "examples": examples}))


if __name__ == "__main__":
    main()
