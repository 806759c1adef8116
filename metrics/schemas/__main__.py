"""Write the table of relations into `submission.schema.json`: `python -m metrics.schemas`."""

import json

from metrics.schemas import SCHEMA_FILE, schema

if __name__ == "__main__":
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    SCHEMA_FILE.write_text(text, encoding="utf-8")
