"""A made-up content for each kind of file, from its type alone."""

from __future__ import annotations

import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from truthward.records.amplify import AmplificationStudy, AmplifySummary
from truthward.records.calibrate import CalibrateSummary
from truthward.records.compare import Comparison
from truthward.records.ingest import Examined, IngestSummary
from truthward.records.publish import Publication
from truthward.records.surrogate import SurrogateSummary
from truthward.records.systematics import SystematicsSummary
from truthward.records.validate.calibrator import ValidatedCalibration
from truthward.records.validate.method import ValidatedMethod
from truthward.records.validate.methods import MethodsTable
from truthward.records.validate.parameter import ValidatedParameter
from truthward.records.validate.posterior import ValidatedPosterior
from truthward.records.validate.stress import Stressed, StressTable
from truthward.records.validate.surrogate import ValidatedSurrogate

KINDS = [
    AmplificationStudy,
    AmplifySummary,
    CalibrateSummary,
    Comparison,
    Examined,
    IngestSummary,
    MethodsTable,
    Publication,
    StressTable,
    Stressed,
    SurrogateSummary,
    SystematicsSummary,
    ValidatedCalibration,
    ValidatedMethod,
    ValidatedParameter,
    ValidatedPosterior,
    ValidatedSurrogate,
]


def example(kind: Any) -> Any:
    """The smallest content with every field in it; a dictionary has the one key "x"."""
    if is_typeddict(kind):
        return {name: example(of) for name, of in get_type_hints(kind, include_extras=True).items()}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return example(arguments[0])
    if origin is dict:
        return {"x": example(arguments[1])}
    if origin is list:
        return [example(arguments[0])]
    if origin is Literal:
        return arguments[0]
    if origin in (Union, types.UnionType):
        return example(next(a for a in arguments if a is not type(None)))
    return {str: "text", int: 1, float: 1.5, bool: True, Any: None}[kind]
