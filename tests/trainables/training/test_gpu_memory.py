import json
from pathlib import Path

from trainables.training import MemoryTable


def test_a_memory_table_keeps_the_measurements_of_each_gpu(tmp_path: Path) -> None:
    table = MemoryTable.of(tmp_path / "cache")
    assert table.read("A Card") == {}
    table.put("A Card", "a case", 4000.04)
    table.put("Another", "a case", 500)
    table.raise_estimate("A Card", "a case")
    table.raise_estimate("A Card", "one that was never measured")
    assert table.read("A Card") == {"a case": 6000.0}
    assert MemoryTable.of(tmp_path / "cache").read("Another") == {"a case": 500.0}
    assert json.loads(table.file.read_text()).keys() == {"A Card", "Another"}
