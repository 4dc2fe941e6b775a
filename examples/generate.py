"""Generation as a library: a decoder that remembers, a sampler, a text that appears as it is made.

python examples/generate.py MODEL [PROMPT]: a run folder, a llama2.c checkpoint with its tokenizer
beside it, or a Hugging Face folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyane import llama
from pyane.train.generate import generate
from pyane.train.session import load_model
from pyane.train.tokenizer import load_tokenizer

if len(sys.argv) < 2:
    sys.exit(__doc__)
config, parameters, tokenizer_file = load_model(Path(sys.argv[1]))
if tokenizer_file is None:
    sys.exit(f"{sys.argv[1]}: no tokenizer beside it")
tokenizer = load_tokenizer(tokenizer_file)
prompt = tokenizer.encode(sys.argv[2] if len(sys.argv) > 2 else "Once upon a time")

with llama.Decoder(config, parameters) as decoder:
    # The likeliest next tokens.
    logits = decoder.next_token_logits(prompt)
    for token in logits.argsort()[::-1][:5]:
        print(f"{logits[token]:8.3f}  {tokenizer.piece_bytes(int(token))!r}")

    # A text. The prompt is in the decoder's cache already.
    stream = tokenizer.stream()
    print("".join(map(stream.add, prompt)), end="")
    stop = frozenset({tokenizer.bos_id, tokenizer.eos_id})
    for token in generate(
        decoder,
        prompt,
        max_tokens=200,
        context=config.seq_len,
        temperature=0.8,
        top_p=0.95,
        stop=stop,
    ):
        print(stream.add(token), end="", flush=True)
    print(stream.finish())
