"""Answers of HTTP servers in chunks (RFC 9112, 7.1), where the standard library takes a size that is none."""

import http.client


class BoundedResponse(http.client.HTTPResponse):
    """An answer whose chunks have a size. Of one of -1 bytes http.client reads all that ever comes, into memory."""

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]  # of http.client itself
        if size < 0:
            raise ValueError(
                "a chunk of less than no bytes"
            )  # which is told as an answer that was cut
        return size
