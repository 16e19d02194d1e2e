"""The process of `s3_store`: ``s3_server.py CERTIFICATE_AND_KEY``. Tells its port, and serves until it is killed.

moto looks at a condition and writes in two steps. Its requests are served one at a time, so that If-None-Match holds
as it does at stores that promise it; but for one bucket, which takes no notice of it.
"""

import json
import sys
from io import BytesIO
from threading import Lock
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

CARELESS = "careless"


class Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer takes 40 ms


def main() -> None:
    backend = DomainDispatcherApplication(create_backend_app)
    lock = Lock()

    def one_at_a_time(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(length))
        if environ["PATH_INFO"].startswith(f"/{CARELESS}/"):
            environ.pop("HTTP_IF_NONE_MATCH", None)
        with lock:
            return list(backend(environ, start_response))

    server = make_server(
        "127.0.0.1",
        0,
        one_at_a_time,
        threaded=True,
        request_handler=Handler,
        ssl_context=(sys.argv[1], sys.argv[1]),
    )
    sys.stdout.write(json.dumps(server.port) + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
