"""The network that a configuration asks for, and what is known of its weights without it."""

from pathlib import Path

from cfa_lab.config import Config
from cfa_lab.data.depth_found import ONLY_BYTES
from cfa_lab.features.weights_hashes import WantedNetwork, recall, remember
from cfa_lab.run.tables import geometry_of


def wanted_network(config: Config) -> WantedNetwork:
    """The frozen network that a configuration describes."""
    values = config.backbone
    return WantedNetwork(
        model=values.model,
        weights=values.weights,
        tag=values.tags.get(values.release),
        layers=None if values.layers is None else tuple(values.layers),
        activation=values.activation,
        divide_by_channels=values.divide_by_channels,
        padding=values.padding,
        norm=values.norm,
        size=geometry_of(config, ONLY_BYTES).input_size,
    )


def known_hash(config: Config) -> str | None:
    """The hash of its weights, where an earlier run left it and nothing has changed since."""
    return recall(_store(config), wanted_network(config)) if config.features.cache else None


def keep_hash(config: Config, weights_hash: str, *, hub: str | None) -> None:
    """Leave the hash for later; `hub` is the repository that the weights came from, if any did."""
    if config.features.cache:
        remember(_store(config), wanted_network(config), weights_hash, hub=hub)


def _store(config: Config) -> Path:
    return Path(config.features.folder).expanduser().absolute()
