"""The base of all sections of a config."""

import inspect
import typing
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Strict(BaseModel):
    """Base of all sections: no unknown key, no silent change of type, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The schema within an annotation such as `dict[str, Sample]` or `Amplify | None`."""
    every = [annotation, *typing.get_args(annotation)]
    return next((a for a in every if inspect.isclass(a) and issubclass(a, BaseModel)), None)


Plugin = dict[str, Any]
"""An entry `{kind: ..., option: ...}`: a plug-in with the options of its constructor; see `plugins.check`."""


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Number = Annotated[float, BeforeValidator(_number)]
"""A float. YAML reads 1.23e9 as text, because its exponent has no sign."""
