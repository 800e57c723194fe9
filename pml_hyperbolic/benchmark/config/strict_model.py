"""StrictModel, the base of all config sections, and the field types that sections share."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ...errors import nearest

# Annotates a field that came after hashes had been stored with runs: content_to_hash has it only
# where its value is not the default.
HASHED_IF_SET = object()
# Names of benchmarks and methods: runs get folders of these names.
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


class StrictModel(BaseModel):
    """A config section in which an unknown key is an error that names the nearest known key."""

    # Strict: `epochs: true` is not 1.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for key in content:
                if key not in cls.model_fields:
                    raise ValueError(cls.unknown_key_message(str(key)))
        return content

    @classmethod
    def unknown_key_message(cls, key: str) -> str:
        """The error message for a key that this section does not have."""
        return f"unknown key {key!r}: {nearest(key, cls.model_fields)}"

    def content_to_hash(self) -> dict[str, Any]:
        """This section as plain data, without fields of ``HASHED_IF_SET`` at their defaults.

        So a new field leaves the hashes of all configs that do not use it as they were.
        """
        content = self.model_dump()
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, StrictModel):
                content[name] = value.content_to_hash()
            elif HASHED_IF_SET in field.metadata and value == field.default:
                del content[name]
        return content


def _one_name(content: Any) -> Any:
    """Expand ``Name`` and ``{Name: null}`` to ``{Name: {}}``."""
    if isinstance(content, str):
        return {content: {}}
    if isinstance(content, dict) and len(content) == 1:
        name, arguments = next(iter(content.items()))
        if isinstance(name, str) and (arguments is None or isinstance(arguments, dict)):
            return {name: arguments or {}}
    raise ValueError(
        f"expected Name or {{Name: {{argument: value}}}}, got {content!r}: write one name"
    )


def _ascending(values: list) -> list:
    if values[0] > values[1]:
        raise ValueError(f"expected [smallest, largest], got {values}: exchange them")
    return values


def _distinct(values: list) -> list:
    if len(set(values)) != len(values):
        raise ValueError(f"values must differ from each other, got {values}: keep one of each")
    return values


# A registered name with its arguments: {Name: {argument: value}}.
Spec = Annotated[dict[str, dict[str, Any]], BeforeValidator(_one_name)]
Distinct = AfterValidator(_distinct)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Range = Annotated[list[Positive], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Number = int | Finite
