"""A real rsyslog on loopback, by TCP and by TLS, started by the user who runs the tests."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ftps_server import Certificates, make_certificates
from ports import own_port
from ssh_keys import program
from waiting import until, whole_lines

_TEMPLATE = (
    r'template(name="each" type="list" option.jsonf="on") {'
    ' property(outname="msgid" name="msgid" format="jsonf")'
    ' property(outname="host" name="hostname" format="jsonf")'
    ' property(outname="severity" name="syslogseverity-text" format="jsonf")'
    ' property(outname="facility" name="syslogfacility-text" format="jsonf")'
    ' property(outname="data" name="structured-data" format="jsonf")'
    ' property(outname="text" name="msg" format="jsonf") }'
)


@dataclass(kw_only=True)
class SyslogServer:
    """A server that can be stopped and started again at its ports."""

    work: Path
    tcp: int
    tls: int
    certificates: Certificates = field(default_factory=make_certificates)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def _log(self) -> Path:
        return self.work / "messages"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        config = self.work / "rsyslog.conf"
        config.write_text(self._config(), encoding="utf-8")
        (self.work / "said").touch()
        command = [program("rsyslogd"), "-n", "-f", str(config), "-i", str(self.work / "pid")]
        with (self.work / "said").open("ab") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said)
        for port in (self.tcp, self.tls):
            until(partial(_listens, port))

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def messages(self) -> list[dict[str, Any]]:
        """Return what has come."""
        if not self._log.exists():
            return []
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in whole_lines(text)]

    def _config(self) -> str:
        folder, shown = self.work, self.certificates
        (folder / "ca.pem").write_bytes(shown.authority.certificate)
        (folder / "crt.pem").write_bytes(shown.server.certificate)
        (folder / "key.pem").write_bytes(shown.server.key)
        tls = 'streamdriver.name="ossl" streamdriver.mode="1" streamdriver.authmode="anon"'
        files = " ".join(
            f'defaultNetstreamDriver{what}File="{folder}/{name}.pem"'
            for what, name in (("CA", "ca"), ("Cert", "crt"), ("Key", "key"))
        )
        lines = [
            f'global(workDirectory="{folder}" maxMessageSize="64k" {files})',
            'module(load="imtcp")',
            _TEMPLATE,
            f'input(type="imtcp" address="127.0.0.1" port="{self.tcp}")',
            f'input(type="imtcp" address="127.0.0.1" port="{self.tls}" {tls})',
            f'action(type="omfile" file="{self._log}" template="each")',
        ]
        return "\n".join(lines) + "\n"


@contextmanager
def syslog_server(work: Path) -> Iterator[SyslogServer]:
    """Run one."""
    with ExitStack() as stack:
        tcp, tls = (stack.enter_context(own_port()) for _ in range(2))
        server = SyslogServer(work=work, tcp=tcp, tls=tls)
        server.start()
        stack.callback(server.stop)
        yield server


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
