"""The peer of ``mmagent ask``: "What is this?" about one picture, by transformers alone, in few lines.

    python peer_ask.py BUNDLE_DIRECTORY PICTURE DTYPE MAX_TOKENS

Checks nothing and knows one kind of bundle: visual words after a grid prefix. Imports nothing of mmagent.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import gelu, layer_norm, linear
from transformers import AutoImageProcessor, AutoModel, AutoModelForCausalLM, AutoTokenizer

bundle, dtype = Path(sys.argv[1]), getattr(torch, sys.argv[3])
manifest = json.loads((bundle / "bundle.json").read_text())
sense = manifest["senses"]["image"]
tokenizer = AutoTokenizer.from_pretrained(bundle / manifest["core"]["path"])
core = AutoModelForCausalLM.from_pretrained(bundle / manifest["core"]["path"], dtype=dtype)
processor = AutoImageProcessor.from_pretrained(bundle / sense["encoder"], backend="pil")
encoder = AutoModel.from_pretrained(bundle / sense["encoder"], dtype=torch.float32).eval()
w = {name: tensor.float() for name, tensor in load_file(bundle / sense["adapter"]["weights"]).items()}

with torch.no_grad():
    picture = Image.open(sys.argv[2]).convert("RGB")
    seen = encoder(**processor(images=picture, return_tensors="pt"))
    pooled = seen.pooler_output.flatten(1)  # (1, d_encoder)
    cells = seen.last_hidden_state.flatten(2).transpose(1, 2)  # (1, n_features, d_encoder)
    d = pooled.shape[1:]
    normed = layer_norm(pooled, d, w["prefix.norm_pooled.weight"], w["prefix.norm_pooled.bias"])
    whole = gelu(linear(normed, w["prefix.whole.weight"], w["prefix.whole.bias"]))
    whole = linear(whole, w["prefix.whole_out.weight"], w["prefix.whole_out.bias"])  # (1, d_core)
    cells = layer_norm(cells, d, w["prefix.norm_cell.weight"], w["prefix.norm_cell.bias"])
    narrow = gelu(linear(cells, w["prefix.narrow.weight"], w["prefix.narrow.bias"]))
    around = linear(narrow.flatten(1), w["prefix.context.weight"], w["prefix.context.bias"])
    hidden = (
        linear(cells, w["prefix.cell.weight"], w["prefix.cell.bias"]) + w["prefix.place"] + around[:, None]
    )
    cells = linear(gelu(hidden), w["prefix.cell_out.weight"], w["prefix.cell_out.bias"])
    soft = torch.cat([whole, cells[0]])  # (1 + n_features, d_core)
    placed = (pooled @ w["projection"] + w["offset"]).T  # (n_words, 1)
    levels = (placed >= w["thresholds"]).sum(1)  # (n_words,)
    prefix = torch.cat([soft, w["table"][range(len(levels)), levels]])  # (n_tokens, d_core)

    embed = core.get_input_embeddings()
    before = embed(torch.tensor(tokenizer("Picture:").input_ids))
    question = "\nQuestion: What is this?\nAnswer:"
    after = embed(torch.tensor(tokenizer(question, add_special_tokens=False).input_ids))
    ids = core.generate(
        inputs_embeds=torch.cat([before, prefix.to(dtype), after])[None],
        attention_mask=torch.ones(1, len(before) + len(prefix) + len(after), dtype=torch.long),
        max_new_tokens=int(sys.argv[4]),
        do_sample=False,
        eos_token_id=[tokenizer.eos_token_id, tokenizer("\n", add_special_tokens=False).input_ids[0]],
        pad_token_id=tokenizer.eos_token_id,
    )
print(tokenizer.decode(ids[0], skip_special_tokens=True).partition("\n")[0].strip())
