"""A small network of PyTorch: an embedding of a text beside numbers, its weights in safetensors."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn


class Network(nn.Module):
    """Numbers and a place go through a hidden layer, which is shown, to a probability."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.place = nn.Embedding(places, 3)
        self.hidden = nn.Linear(5, 4)
        self.out = nn.Linear(4, 1)

    def forward(self, numbers: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities, [rows], and the hidden layer, [rows, 4]."""
        hidden = torch.tanh(self.hidden(torch.cat([numbers, self.place(places)], dim=1)))
        return torch.sigmoid(self.out(hidden)).squeeze(1), hidden


def load(folder: Path) -> Any:
    """Return the network and the place of each city."""
    torch.set_num_threads(1)
    places = json.loads((folder / "places.json").read_text(encoding="utf-8"))
    network = Network(len(places) + 1)
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    return network.eval(), places


def predict(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return each row's probability and its hidden layer."""
    network, places = model
    numbers = torch.stack([torch.as_tensor(columns[name]) for name in ("x", "y")], dim=1)
    numbers = torch.nan_to_num(numbers.clamp(-5, 5)).float()
    cities = torch.tensor([places.get(city, len(places)) for city in columns["city"]], dtype=torch.int64)
    with torch.inference_mode():
        p, hidden = network(numbers, cities)
    return {"p": p.numpy(), "hidden": hidden.tolist()}
