"""What makes two saved models the same model."""

import hashlib
from pathlib import Path


def fingerprint(model_folder: str | Path) -> str:
    """SHA-256 over names and contents of a saved model's files, 64 hexadecimal digits."""
    root, digest = Path(model_folder), hashlib.sha256()
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
