"""Two servers with one history: a controller, and `git http-backend` behind nginx, both over TLS."""

import base64
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from urllib.parse import urlsplit

from bench.members import CONTROLLER, Cluster
from bench.support import pause, say
from mftgit.adapters.channel import Channel
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.http_server.server import free_port
from mftgit.adapters.proof import Prover
from mftgit.adapters.state_folder import StateFolder
from mftgit.model.names import MemberName

NEEDED = ("nginx", "fcgiwrap", "wrk", "git")
_BESIDE_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_REPOSITORY = "config.git"
_GIT_S = 300
_MEMBER = "node-1"
_FCGI_PROCESSES = 4
_BACKLOG = 2048

_NGINX = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 10000000;
  client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/fastcgi; proxy_temp_path {folder}/proxy;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl backlog=2048;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {exec_path}/git-http-backend;
      fastcgi_param GIT_HTTP_EXPORT_ALL "";
      fastcgi_param GIT_PROJECT_ROOT {folder};
      fastcgi_param PATH_INFO $uri;
      fastcgi_param REMOTE_USER bench;
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
      fastcgi_pass unix:{folder}/fcgi.sock;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server is, and how git gets in; ``header`` is sent by git, or empty."""

    name: str
    url: str
    ca_file: Path
    header: str

    @property
    def base(self) -> str:
        """Return the URL without a path."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """The servers, and what is needed to talk to the first as a member."""

    ours: Server
    theirs: Server
    cluster: Cluster
    controller: StateFolder
    prover: Prover

    def proof(self, method: str, path: str) -> dict[str, str]:
        """Return headers by which a member shows who it is for the next minute."""
        return self.prover.headers(method, path)


@contextmanager
def both(cluster: Cluster, work: Path, *, commits: int) -> Iterator[Both]:
    """Run both servers on copies of one repository of so many ``commits``.

    ``cluster`` is made and not started.
    """
    controller = cluster.folder(CONTROLLER)
    say(f"writing {commits} commits")
    _grow(controller.repository, commits)
    copy = work / "theirs" / _REPOSITORY
    git(work, "clone", "--quiet", "--mirror", str(controller.repository), str(copy))
    git(copy, "config", "http.receivepack", "true")
    git(copy, "gc", "--quiet")
    cluster.start_controller()
    cluster.join([_MEMBER])
    with _http_backend(copy.parent, controller) as theirs:
        yield Both(
            ours=_ours(cluster, controller),
            theirs=theirs,
            cluster=cluster,
            controller=controller,
            prover=_prover(cluster),
        )


def git(
    folder: Path, *words: str, server: Server | None = None, content: bytes | None = None
) -> bytes:
    """Run stock git in ``folder``, with the access to ``server``, and return what it printed."""
    before = [f"-c=http.sslCAInfo={server.ca_file}"] if server else []
    before = [word for each in before for word in each.split("=", 1)]
    if server and server.header:
        before += ["-c", f"http.extraHeader={server.header}"]
    done = subprocess.run(
        ["git", *before, *words],
        cwd=folder,
        env=_environment(folder),
        input=content,
        capture_output=True,
        timeout=_GIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"git {words[0]} failed:\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def _environment(home: Path) -> dict[str, str]:
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "Bench"), ("EMAIL", "bench@example.invalid"))}  # fmt: skip
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        **who,
    }


def _grow(repository: Path, commits: int) -> None:
    """Add commits that change one to three transfers each, and pack it all."""
    paths = [
        name
        for name in git(repository, "ls-tree", "-r", "--name-only", "main").decode().splitlines()
        if name.startswith("transfers/")
    ]
    texts: dict[str, bytes] = {}
    stream = bytearray()
    for number in range(1, commits):
        message = f"Change {number}\n".encode()
        stream += b"commit refs/heads/main\ncommitter Bench <bench@example.invalid> %d +0000\n" % (
            1_795_600_000 + number
        )
        stream += b"data %d\n%b" % (len(message), message)
        stream += b"from refs/heads/main^0\n" if number == 1 else b""
        for step in range(1 + number % 3):
            path = paths[(number * 7 + step * 131) % len(paths)]
            text = texts.get(path) or git(repository, "show", f"main:{path}")
            texts[path] = changed(text, number)
            stream += b"M 100644 inline %b\ndata %d\n%b\n" % (
                path.encode(),
                len(texts[path]),
                texts[path],
            )
    git(repository, "fast-import", "--quiet", content=bytes(stream))
    git(repository, "repack", "-a", "-d", "-q")
    git(repository, "prune-packed", "--quiet")


def changed(text: bytes, number: int) -> bytes:
    """Return a transfer with another description."""
    lines = [
        line for line in text.splitlines(keepends=True) if not line.startswith(b"description:")
    ]
    return b"description: Change %d\n" % number + b"".join(lines)


def _ours(cluster: Cluster, controller: StateFolder) -> Server:
    access = cluster.access
    secret = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
    return Server(
        name="mftgit",
        url=access.clone_url,
        ca_file=controller.ca_file,
        header=f"Authorization: Basic {secret}",
    )


def _prover(cluster: Cluster) -> Prover:
    folder = cluster.folder(_MEMBER)
    return Prover(
        member=MemberName(_MEMBER),
        cluster_id=folder.read_bootstrap().cluster_id,
        key=folder.member_key.read_bytes(),
        now=SystemClock().now,
    )


@contextmanager
def _http_backend(folder: Path, controller: StateFolder) -> Iterator[Server]:
    port = free_port("127.0.0.1")
    settings = folder / "nginx.conf"
    text = _NGINX.format(
        folder=folder,
        port=port,
        certificate=controller.tls_certificate,
        key=controller.tls_key,
        exec_path=git(folder, "--exec-path").decode().strip(),
    )
    settings.write_text("user root;\n" * (os.geteuid() == 0) + text, encoding="utf-8")
    with ExitStack() as stack:
        waiting = stack.enter_context(socket(AF_UNIX, SOCK_STREAM))
        waiting.bind(str(folder / "fcgi.sock"))
        waiting.listen(_BACKLOG)
        _run(stack, folder, [program("fcgiwrap"), "-c", str(_FCGI_PROCESSES)], waiting.fileno())
        _run(stack, folder, [program("nginx"), "-c", str(settings)], subprocess.DEVNULL)
        server = Server(
            name="http-backend",
            url=f"https://127.0.0.1:{port}/{_REPOSITORY}",
            ca_file=controller.ca_file,
            header="",
        )
        _until_answers(folder, server)
        yield server


def _run(stack: ExitStack, folder: Path, command: list[str], stdin: int) -> None:
    """Start a program, and end it and its children with the stack."""
    process = subprocess.Popen(
        command,
        env=_environment(folder),
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    stack.callback(process.wait)
    stack.callback(os.killpg, process.pid, signal.SIGTERM)


def _until_answers(folder: Path, server: Server) -> None:
    for attempt in range(50):
        try:
            git(folder, "ls-remote", server.url, server=server)
        except RuntimeError:
            if attempt == 49:
                raise
            pause(0.1)
        else:
            return


def program(name: str) -> str:
    """Return the path of a program, also from where only root looks."""
    found = shutil.which(name, path=_BESIDE_PATH)
    if found is None:
        raise RuntimeError(f"{name} is not installed: `apt install nginx-light fcgiwrap wrk git`")
    return found


def head_tag(servers: Both) -> str:
    """Return the entity tag of the controller's head pointer."""
    channel = Channel(servers.ours.base, ca_file=servers.ours.ca_file, headers=servers.proof)
    try:
        head = channel.head(None)
    finally:
        channel.close()
    if head is None:
        raise RuntimeError("the controller has no head")
    return head.tag
