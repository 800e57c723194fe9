"""Reading and writing YAML: repeated keys are refused, 1e-3 is a number and `on` is a word."""

import re
from pathlib import Path

import yaml

from ...checked_files import DamagedFile, read_checked_text
from ...errors import InputError


class _Loader(yaml.SafeLoader):
    """SafeLoader without three traps: repeated keys, `on` as True, and 1e-3 as text."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            # `<<` merges another mapping in, whose keys may well occur again.
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            where = f"{self.name}, line {key_node.start_mark.line + 1}"
            if isinstance(key, list | dict):
                raise InputError(f"{where}: a key must be a single word, got {key!r}")
            if key in seen:
                raise InputError(
                    f"{where}: the key {key!r} occurs twice in one mapping: keep one of them"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 would read the key `on` as True; as in YAML 1.2, only true and false are booleans.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
# YAML 1.1 wants a dot and a signed exponent, and would read 1e-3 as text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, source: str) -> object:
    """Parse one YAML document.

    Args:
        text: the document.
        source: its name in error messages.

    Raises:
        InputError: the text is not YAML, or a key occurs twice in one mapping.
    """
    loader = _Loader(text)
    loader.name = source
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}{line} is not valid YAML: {problem}") from None
    # An impossible date, such as 2026-13-01, or a number of another base.
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source} is not valid YAML: {error}") from None
    finally:
        loader.dispose()


def read_mapping(path: Path) -> dict:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: there is no such file, it is not the text that its checksum was made of, it is
            not YAML, or it does not hold a mapping.
    """
    try:
        text = read_checked_text(path)
    except DamagedFile as error:
        raise InputError(
            f"{path} is damaged or was edited ({error}): remove its first line if that is meant"
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"cannot read {path}: it is not UTF-8 text") from None
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a mapping of keys, got {type(content).__name__}")
    return content


def dump_yaml(content: object, *, compact: bool = False) -> str:
    """Write plain data as YAML, keys in their order.

    Args:
        content: mappings, lists, strings, numbers, booleans and None.
        compact: write innermost lists and mappings on one line. Default False.
    """
    style = None if compact else False
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=style)
