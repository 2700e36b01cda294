"""YAML + .env → PipelineConfig. Every problem is found before anything starts, and named by its path."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from config.errors import ConfigError
from config.file_specs import build_file_specs
from config.former_rules import in_todays_words
from config.includes import put_together
from config.mistakes import described
from config.settings import ConfigFile, PipelineConfig, WebConfig
from config.yaml_file import read_yaml

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_CONFIG = PROJECT_ROOT / "config" / "pipeline_config.yaml"
MIN_HASH_KEY_LENGTH = MIN_TOKEN_LENGTH = 16

Check = Callable[[PipelineConfig], Iterable[str]]


def get_config(
    path: Path | None = None, *, checks: Iterable[Check] = (), beside: Mapping[str, Any] | None = None
) -> PipelineConfig:
    """Read and check the configuration.

    `path` defaults to `FASTFEAST_CONFIG`, then to the shipped YAML. Relative paths in the YAML start at
    `FASTFEAST_HOME`, by default the project root. `.env` is the home's, or else the project's; variables of the
    process win over it.
    `checks` are further checks to report in the same message. `beside` is laid beside as an included file is.

    Raises ConfigError that lists all problems, each with its key's path, the value and what was expected.
    """
    home = Path(os.environ.get("FASTFEAST_HOME") or PROJECT_ROOT).resolve()
    env = {**{k: v or "" for k, v in dotenv_values(_env_file(home)).items()}, **os.environ}
    source = path or Path(env.get("FASTFEAST_CONFIG") or DEFAULT_CONFIG)
    source = source if source.is_absolute() else home / source

    missing: dict[str, str] = {}
    parts = put_together(source, read_yaml(source, "FASTFEAST_CONFIG names another file"))
    if beside is not None:
        parts.add(beside, Path("the proposal"))
    raw = _expand(parts.whole, env, (), missing)
    raw = _with_environment(raw, env)
    try:
        file = ConfigFile.model_validate(in_todays_words(raw))
    except ValidationError as error:
        mistakes = [described(problem) for problem in error.errors()]
        told = [parts.with_file(f"{key or '(the whole file)'}: {problem}") for key, problem in mistakes]
        raise _config_error(source, told) from None

    problems = [
        f"{key}: the environment variable {variable} is not set; set it in {_env_file(home)}"
        for key, variable in missing.items()
        if _is_used(key, file)
    ]
    problems += _check_sections(file)
    files, file_problems = build_file_specs(file)
    problems += file_problems
    if not file_problems:
        config = PipelineConfig(
            **{name: getattr(file, name) for name in ConfigFile.model_fields},
            home=home,
            source=source,
            files=files,
        )
        problems += [problem for check in checks for problem in check(config)]
    if problems:
        raise _config_error(source, [parts.with_file(problem) for problem in problems])
    return config


def without_pii_key(config: PipelineConfig) -> str | None:
    """What to say of a configuration that has personal columns and no key to hash them with, else None."""
    names = sorted({spec.name for spec in config.files if spec.has_pii})
    if config.pii.hash_key or not names:
        return None
    return (
        f"PII_HASH_KEY is not set: the personal columns of {', '.join(names)} are stored as plain SHA-256, which "
        f"can be reversed for phone numbers by trying them all. Set it in {_env_file(config.home)} before the "
        "first file is loaded, for with another key one person gets another hash; make one with: "
        "python3 -c 'import secrets; print(secrets.token_hex(32))'"
    )


def _env_file(home: Path) -> Path:
    """The home's `.env`; the project's, which `make run` writes, where the home has none."""
    own, shared = home / ".env", PROJECT_ROOT / ".env"
    return shared if not os.access(own, os.F_OK) and os.access(shared, os.F_OK) else own


def _config_error(source: Path, problems: list[str]) -> ConfigError:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return ConfigError(f"{source}: {count}\n" + "\n".join(f"  - {problem}" for problem in problems))


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _expand(value: Any, env: Mapping[str, str], key: tuple[str, ...], missing: dict[str, str]) -> Any:
    """Replace `${VAR}` and `${VAR:-default}`; a variable that is nowhere goes to `missing`, by key path.

    As in a shell, `:-` also stands in for a variable that is set but empty.
    """
    if isinstance(value, dict):
        return {name: _expand(item, env, (*key, str(name)), missing) for name, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, env, (*key, str(index)), missing) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = env.get(name)
        if default is not None:
            return found or default
        if not found:
            missing[".".join(key)] = name
        return found or ""

    return _VARIABLE.sub(variable, value)


def _with_environment(raw: Any, env: Mapping[str, str]) -> Any:
    """DATABASE_URL, PII_HASH_KEY, PII_ACCEPT_KEY_ID and WEB_TOKEN need no mention in the YAML."""
    if not isinstance(raw, dict):
        return raw
    raw = dict(raw)
    for section, key, variable in (
        ("database", "url", "DATABASE_URL"),
        ("pii", "hash_key", "PII_HASH_KEY"),
        ("pii", "accept_key_id", "PII_ACCEPT_KEY_ID"),
        ("web", "token", "WEB_TOKEN"),
    ):
        inner = raw.get(section)
        if env.get(variable) and (inner is None or isinstance(inner, dict)):
            raw[section] = {key: env[variable], **(inner or {})}
    return raw


def _is_used(key: str, file: ConfigFile) -> bool:
    """Is the value at `key` needed by what is switched on?"""
    if key.startswith("alerting."):
        return file.alerting.enabled
    if key.startswith("database."):
        return not (file.database.embedded or file.database.url)
    return True


def _check_sections(file: ConfigFile) -> list[str]:
    problems = []
    pool, watcher = file.database.pool, file.watcher
    if pool.min > pool.max:
        problems.append(f"database.pool: min {pool.min} is more than max {pool.max}")
    if file.validation.dates[0] > file.validation.dates[1]:
        problems.append("validation.dates: the first is after the last")
    dirs = {"batch": watcher.batch.dir, "stream": watcher.stream.dir, "master": watcher.master.dir}
    for name, directory in dirs.items():
        for other, outer in dirs.items():
            if name != other and Path(directory).is_relative_to(outer):
                problems.append(f"watcher.{name}.dir: {directory!r} lies within watcher.{other}.dir {outer!r}")
    key = file.pii.hash_key
    if key is not None and len(key) < MIN_HASH_KEY_LENGTH:
        problems.append(
            f"pii.hash_key: {len(key)} characters, needs {MIN_HASH_KEY_LENGTH} or more; "
            "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return problems + _check_web(file.web)


def _check_web(web: WebConfig) -> list[str]:
    """What other machines can reach has to ask for a token."""
    if not web.enabled:
        return []
    make_one = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
    if web.token is not None and len(web.token) < MIN_TOKEN_LENGTH:
        return [f"web.token: {len(web.token)} characters, needs {MIN_TOKEN_LENGTH} or more; {make_one}"]
    if web.token is None and not is_loopback(web.host):
        return [
            f"web.host: {web.host} can be reached from other machines, and web.token is not set; "
            f"set WEB_TOKEN ({make_one}), or use host 127.0.0.1"
        ]
    return []


def is_loopback(host: str) -> bool:
    """Does `host` name this machine only? A name other than localhost may lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
