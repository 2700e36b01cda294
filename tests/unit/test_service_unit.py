"""The systemd unit: known to systemd, hardened, and stopping as the daemon wants to be stopped."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from config.config_loader import PROJECT_ROOT
from datawarehouse.db_connection import CLOSE_SECONDS
from datawarehouse.embedded_server import STOP_SECONDS
from ingestion.engines.engine import GRACE_SECONDS
from ingestion.pipeline import JOIN_SECONDS

UNIT = PROJECT_ROOT / "deploy" / "fastfeast.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_systemd_finds_no_fault_with_it(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    # The program is looked for too: let it be one that is there
    text = UNIT.read_text().replace("/opt/fastfeast/.venv/bin/python main.py", "/bin/true")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("User=fastfeast\nGroup=fastfeast\n", ""))
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    if done.returncode and not ours:
        pytest.skip("systemd-analyze can't work on this machine")
    assert not ours


def test_only_the_daemon_is_signalled_and_has_time_to_finish(service: configparser.SectionProxy) -> None:
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")
    assert float(service["TimeoutStopSec"]) > GRACE_SECONDS + JOIN_SECONDS + CLOSE_SECONDS + 1.5 * STOP_SECONDS


def test_it_comes_back_after_a_crash_but_not_on_bad_configuration(service: configparser.SectionProxy) -> None:
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2")


def test_it_writes_to_its_own_folders_only(service: configparser.SectionProxy) -> None:
    home = service["WorkingDirectory"]
    assert service["ReadWritePaths"].split() == [f"{home}/data", f"{home}/logs"]
    expected = {"ProtectSystem": "strict", "UMask": "0077", "NoNewPrivileges": "yes", "PrivateTmp": "yes"}
    expected |= {"ProtectHome": "yes", "CapabilityBoundingSet": "CAP_LEASE", "RestrictSUIDSGID": "yes"}
    assert {key: service[key] for key in expected} == expected
    assert "root" not in {service["User"], service["Group"]}
