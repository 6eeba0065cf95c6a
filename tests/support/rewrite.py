"""The demo model with another header."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFValueType, GGUFWriter

_NEW: dict[type, Callable[..., object]] = {
    bool: GGUFWriter.add_bool,
    int: GGUFWriter.add_uint32,
    float: GGUFWriter.add_float32,
    str: GGUFWriter.add_string,
    list: GGUFWriter.add_array,
}


def rewrite(source: Path, target: Path, changes: Mapping[str, Any]) -> Path:
    """Copy a GGUF file; `changes` maps keys of the header to new values, or to None to leave a key out."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    copy_fields(reader, writer, "", changes)
    for name, value in changes.items():
        if name not in reader.fields and value is not None:
            _NEW[type(value)](writer, name, value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def copy_fields(reader: GGUFReader, writer: GGUFWriter, prefix: str, changes: Mapping[str, Any] = {}) -> None:
    """Copy the keys that begin with `prefix`, with the same `changes`."""
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture" or not field.name.startswith(prefix):
            continue
        value = changes.get(field.name, field.contents())
        if value is None:
            continue
        if field.types[0] == GGUFValueType.ARRAY:
            writer.add_array(field.name, value)
        else:
            writer.add_key_value(field.name, value, field.types[0])
