"""Reading and writing YAML: repeated keys are refused, 1e-3 is a number and `on` is a word."""

import re
from pathlib import Path

import yaml

from ...checked_files import DamagedFile, checked_text
from ...errors import InputError
from ...files import disk_failure, named_file

# Our choice: the shipped configs nest 9 deep and hold a few hundred values.
_DEEPEST = 50
_MOST_VALUES = 100_000
_LARGEST_FILE = 10 * 2**20
# Values that neither a config nor its hash can hold.
_NOT_PLAIN = {
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:binary": "binary data",
    "tag:yaml.org,2002:set": "a set",
    "tag:yaml.org,2002:omap": "an ordered mapping",
    "tag:yaml.org,2002:pairs": "a list of pairs",
}
_KINDS = {type(None): "nothing", list: "a list", str: "text", int: "a number", float: "a number"}
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """SafeLoader without three traps: repeated keys, `on` as True, and 1e-3 as text."""

    def get_single_node(self):
        node = super().get_single_node()
        if node is not None:
            self._check_extent(node, 1, {})
        return node

    def _check_extent(self, node, depth, known):
        """Count values, with all that stand for aliases: a few lines could name billions."""
        where = f"{self.name}, line {node.start_mark.line + 1}"
        if depth > _DEEPEST:
            raise InputError(
                f"{where}: nested more than {_DEEPEST} deep, or an alias within itself: write it "
                f"flatter"
            )
        if node.tag in _NOT_PLAIN:
            raise InputError(
                f"{where}: got {_NOT_PLAIN[node.tag]}, expected a mapping, a list, text or a "
                f"number: put text in quotes"
            )
        if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
            raise InputError(f"{where}: half of a pair of surrogates is not a character: remove it")
        if id(node) not in known:
            count = 1
            if isinstance(node, yaml.CollectionNode):
                parts = node.value
                if isinstance(node, yaml.MappingNode):
                    parts = [part for pair in parts for part in pair]
                count += sum(self._check_extent(part, depth + 1, known) for part in parts)
            if count > _MOST_VALUES:
                raise InputError(
                    f"{where}: more than {_MOST_VALUES:,} values, those of aliases included: "
                    f"write fewer"
                )
            known[id(node)] = count
        return known[id(node)]

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            # `<<` merges another mapping in, whose keys may well occur again.
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            where = f"{self.name}, line {key_node.start_mark.line + 1}"
            if isinstance(key, list | dict):
                raise InputError(
                    f"{where}: a key must be a single word, got {key!r}: write a word before the "
                    f"colon"
                )
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
    loader = None
    try:
        loader = _Loader(text)
        loader.name = source
        return loader.get_single_data()
    except RecursionError:
        raise InputError(
            f"{source} is not valid YAML: it is nested too deep, expected at most {_DEEPEST} "
            f"levels: write it flatter"
        ) from None
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"{source}, line {number} is not valid YAML: the character U+{error.character:04X} is "
            f"not allowed: remove it"
        ) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(
            f"{source}{line} is not valid YAML: {problem}: {_remedy(problem)}"
        ) from None
    # An impossible date, such as 2026-13-01, or a number of another base.
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        problem = str(error)
        # Python's own advice is to change a setting of Python.
        if "integer string conversion" in problem:
            problem = "it has a whole number of more than 4,300 digits"
        raise InputError(f"{source} is not valid YAML: {problem}: write another value") from None
    finally:
        if loader is not None:
            loader.dispose()


def read_mapping(path: Path) -> dict:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: there is no such file, it is not the text that its checksum was made of, it is
            not YAML, or it does not hold a mapping.
        OSError: the disk fails; it names ``path``.
    """
    try:
        with named_file(path), path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise InputError(
                f"cannot read {path}: it has more than {_LARGEST_FILE:,} bytes, which no config "
                f"needs: give a YAML file"
            )
        # A byte order mark, which Windows' editors write, is no part of the text.
        text = checked_text(content).removeprefix("\ufeff")
    except DamagedFile as error:
        raise InputError(
            f"{path} is damaged or was edited ({error}): remove its first line if that is meant"
        ) from None
    except OSError as error:
        # A disk that fails says nothing about the file.
        if disk_failure(error, path) is not None:
            raise
        raise InputError(
            f"cannot read {path}: {error.strerror}: give a YAML file, such as "
            f"benchmark_configs/digits.yaml"
        ) from None
    except UnicodeDecodeError:
        raise InputError(
            f"cannot read {path}: it is not UTF-8 text: give a YAML file in this encoding"
        ) from None
    mapping = parse_yaml(text, str(path))
    if not isinstance(mapping, dict):
        raise InputError(
            f"{path} must hold a mapping of keys, got {_KINDS.get(type(mapping), 'a value')}: "
            f"write `key: value` in each line"
        )
    return mapping


def _remedy(problem):
    """What to do about a problem that YAML's parser names."""
    if "tag" in problem:
        return "remove the tag, the word that begins with !"
    if "alias" in problem:
        return "write the value itself in place of the alias, or text with * in quotes"
    return "mend that line, or put text with special characters in quotes"


def dump_yaml(content: object, *, compact: bool = False) -> str:
    """Write plain data as YAML, keys in their order.

    Args:
        content: mappings, lists, strings, numbers, booleans and None.
        compact: write innermost lists and mappings on one line. Default False.
    """
    style = None if compact else False
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=style)
