"""Base class and value types of every parameter group."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Byte = Annotated[int, Field(ge=0, le=255)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Group(BaseModel):
    """A group of parameters. Unknown names are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    def __getitem__(self, name: str) -> Any:
        """Return a value by name, for notebooks that load a group from the catalog as a mapping."""
        if name not in type(self).model_fields:
            raise KeyError(name)
        return getattr(self, name)
