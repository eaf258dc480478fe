"""dbt parses a project once a test run: each new database begins with what was parsed for another.

dbt parses anew, which takes seconds, where a host, a login or a database is new to it. What it
parses names the database and the project's folder; nothing else of it depends on them. All other
reasons to parse anew are left to dbt.
"""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

# The folder, once there is one.
SHARED: list[Path] = []


def share(folder: Path) -> None:
    """Let dbt, in this process, keep in the folder what it parsed, and look for it there."""
    from dbt.parser import manifest as dbt_parser

    SHARED[:] = [folder]

    class SharingLoader(dbt_parser.ManifestLoader):
        def read_manifest_for_partial_parse(self):
            parsed = super().read_manifest_for_partial_parse()
            if parsed or not self._shared.exists():
                return parsed
            *before, packed = pickle.loads(self._shared.read_bytes())
            parsed = dbt_parser.Manifest.from_msgpack(
                packed,
                decoder=lambda data: renamed(
                    dbt_parser.extended_mashumuro_decoder(data), before, self._names
                ),
            )
            parsed.state_check.profile_hash = self.manifest.state_check.profile_hash
            return parsed if self.is_partial_parsable(parsed)[0] else None

        def write_manifest_for_partial_parse(self):
            super().write_manifest_for_partial_parse()
            if not self._shared.exists():
                target = Path(self.root_project.project_target_path)
                packed = (target / dbt_parser.PARTIAL_PARSE_FILE_NAME).read_bytes()
                temporary = self._shared.with_suffix(f".{os.getpid()}")
                temporary.write_bytes(pickle.dumps((*self._names, packed)))
                temporary.rename(self._shared)

        @property
        def _names(self) -> tuple[str, str]:
            return self.root_project.credentials.database, self.root_project.project_root

        @property
        def _shared(self) -> Path:
            state = self.manifest.state_check
            decides = repr((state.vars_hash, state.project_env_vars_hash, state.project_hashes))
            return folder / hashlib.sha256(decides.encode()).hexdigest()

    dbt_parser.ManifestLoader = SharingLoader


def renamed(parsed: Any, before: tuple[str, str], now: tuple[str, str]) -> Any:
    """What was parsed, of another database and another folder."""
    (old_database, old_root), (database, root) = before, now

    def named_anew(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: named_anew(name, each) for name, each in value.items()}
        if isinstance(value, list):
            return [named_anew(key, each) for each in value]
        if not isinstance(value, str):
            return value
        if key == "database" and value == old_database:
            return database
        if key == "relation_name":
            return value.replace(f'"{old_database}".', f'"{database}".', 1)
        if key in ("root_path", "project_root") and value == old_root:
            return root
        return value

    return named_anew("", parsed)
