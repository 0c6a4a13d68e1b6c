"""The whole network: embeddings, layers with U-Net skips, layers that run twice, and the softcapped head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.config import ModelConfig
from reference_model.model.banks import make_banks, matrices
from reference_model.model.block import Block
from reference_model.model.check import check
from reference_model.model.embeddings import BigramEmbedding, SmearGate, ValueEmbedding
from reference_model.model.linear import Linear
from reference_model.model.rotary import rotation


class GPT(nn.Module):
    """A decoder-only transformer. Its matrices are empty until `init.build` or `weights.load_weights` fills them.

    The first half of the layers keeps its outputs; the second half takes them back, last first (U-Net).
    """

    def __init__(self, config: ModelConfig) -> None:
        """Raises `PresetError` where the settings do not fit each other."""
        super().__init__()
        check(config)
        self.config = config
        dim, layers = config.model_dim, config.num_layers
        self.tok_emb = nn.Embedding(config.vocab_size, dim)
        self.bigram_emb = BigramEmbedding(config) if config.bigram_buckets else None
        self.smear_gate = SmearGate(config) if config.smear_gate else None
        self.encoder_layers = layers // 2
        if config.skips != "none":
            self.skip_weights = nn.Parameter(torch.ones(self.encoder_layers, dim))
        if config.skips == "gated":
            self.skip_gates = nn.Parameter(torch.zeros(self.encoder_layers, dim))
        self.banks = make_banks(config) if config.layout == "banked" else {}
        for name, bank in self.banks.items():
            self.register_parameter(name, bank.parameter)
        self.blocks = nn.ModuleList(
            Block(config, i, matrices(config, i, self.banks, "attn"), matrices(config, i, self.banks, "mlp"))
            for i in range(layers)
        )
        self.ve_shared = ValueEmbedding(config) if config.ve_layers else None
        self.ve_layer_scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in config.ve_layers)
        self.lm_head = None if config.tie_embeddings else Linear(dim, config.vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """``tokens`` [b, s] to logits [b, s, vocab], softcapped."""
        return self.head(self.hidden(tokens))

    def losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihoods in nats, float32 [b, s], of ``targets`` [b, s] after ``tokens`` [b, s]."""
        logits = self.forward(tokens).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)

    def embedded(self, tokens: Tensor) -> Tensor:
        """``tokens`` [b, s] to the normed input [b, s, dim] of the first layer."""
        x: Tensor = self.tok_emb(tokens)
        if self.bigram_emb is not None:
            x = x + self.bigram_emb(tokens)
        x = F.rms_norm(x, (x.size(-1),))
        return x if self.smear_gate is None else self.smear_gate(x, tokens)

    def hidden(self, tokens: Tensor) -> Tensor:
        """``tokens`` [b, s] to the normed output [b, s, dim] of the last layer."""
        for bank in self.banks.values():
            bank.apart = bank.parameter.unbind()
        try:
            return self._layers(tokens)
        finally:
            for bank in self.banks.values():
                bank.apart = None

    def _layers(self, tokens: Tensor) -> Tensor:
        config = self.config
        dims = config.rope_dims or config.model_dim // config.num_heads
        angles = rotation(tokens.size(1), dims, config.rope_base, config.rope_train_seq_len, tokens.device)
        x = x0 = self.embedded(tokens)
        values = self.value_embeddings(tokens)
        kept: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = self._with_skip(x, i, kept)
            x = block(x, x0, angles, values.get(i))
            if i < self.encoder_layers:
                kept.append(x)
        for i in config.recur_layers:
            x = self.blocks[i](x, x0, angles, values.get(i))
        return F.rms_norm(x, (x.size(-1),))

    def value_embeddings(self, tokens: Tensor) -> dict[int, Tensor]:
        """Layer to what is added to its values, [b, s, kv_heads * head_dim]."""
        if self.ve_shared is None:
            return {}
        shared = self.ve_shared(tokens)
        pairs = zip(self.config.ve_layers, self.ve_layer_scales, strict=True)
        return {layer: shared * scale.to(shared.dtype) for layer, scale in pairs if layer < len(self.blocks)}

    def head(self, hidden: Tensor) -> Tensor:
        """``hidden`` [..., dim] to logits [..., vocab]: cap * tanh(x / cap)."""
        if self.lm_head is None:
            logits = F.linear(hidden, self.tok_emb.weight.to(hidden.dtype))
        else:
            logits = self.lm_head(hidden)
        cap = self.config.logit_softcap
        return cap * torch.tanh(logits / cap)

    def _with_skip(self, x: Tensor, layer: int, kept: list[Tensor]) -> Tensor:
        """The input of ``layer`` with the output of its partner in the first half, where it has one."""
        turn = layer - self.encoder_layers
        if turn < 0 or not kept or self.config.skips == "none":
            return x
        skip = self.skip_weights[turn].to(x.dtype) * kept.pop()
        if self.config.skips == "plain":
            return x + skip
        gate = torch.sigmoid(self.skip_gates[turn].to(x.dtype))
        return gate * x + (1.0 - gate) * skip
