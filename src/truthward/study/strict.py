"""The base of all sections of a config."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of all sections: no unknown key, no silent change of type, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Plugin = dict[str, Any]
"""An entry `{kind: ..., option: ...}`: a plug-in with the options of its constructor; see `plugins.check`."""
