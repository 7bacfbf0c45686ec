"""Cores whose matrices are kept in 8 or 4 bits, through bitsandbytes; embeddings and norms stay as they are.

8bit  LLM.int8: rows of int8 with one scale each, outliers apart (Dettmers et al. 2022)
4bit  NF4: the quantiles of a normal distribution, one scale for 64 weights (Dettmers et al. 2023)
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from typing import Any

import torch

from mmagent.errors import UserError, did_you_mean

__all__ = ["KINDS", "keep_layout", "options"]

KINDS = ("8bit", "4bit")


def options(load_in: str | None, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What `from_pretrained` is told so that matrices are quantised while they are read; none for None.

    dtype: what 4-bit weights are unpacked to for a product. Raises `UserError` for another kind, where
    bitsandbytes is not installed, and where the installed one does not compute on this device.
    """
    if load_in is None:
        return {}
    if load_in not in KINDS:
        raise UserError(
            f"no core is loaded in {load_in!r}. There are: {', '.join(KINDS)}.{did_you_mean(load_in, KINDS)}"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"a core is loaded in {load_in} by bitsandbytes, which is not installed: "
            "pip install 'mmagent[quant]'. --dtype bfloat16 takes half of float32 without it."
        )
    _demand_device(load_in, device)
    from transformers import BitsAndBytesConfig

    make: Any = BitsAndBytesConfig
    config = (
        make(load_in_8bit=True)
        if load_in == "8bit"
        else make(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    )
    return {"quantization_config": config, "device_map": {"": device}}


def keep_layout(model: Any) -> None:
    """Keep bitsandbytes from packing 4-bit matrices anew on CPUs with bf16 units.

    It would do so in the first pass without gradients, in place: frozen weights would be written to, and a
    pass with gradients that comes after it would read them in the old layout.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _demand_device(load_in: str, device: torch.device) -> None:
    # it says once per matrix that inputs are rounded to float16 on the way in, and which kernels it lacks
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
    try:
        import bitsandbytes
    except Exception as error:  # its native half may fail to load in many ways
        raise UserError(
            f"a core is loaded in {load_in} by bitsandbytes, which does not start here: "
            f"{next(iter(str(error).splitlines()), type(error).__name__)}. Install it again, or leave out "
            "--load-in."
        ) from error
    known = getattr(bitsandbytes, "supported_torch_devices", {"cuda"})
    if device.type not in known:
        raise UserError(
            f"bitsandbytes {bitsandbytes.__version__} computes on {', '.join(sorted(known))}, not on "
            f"{device.type}. Update it, or leave out --load-in."
        )
