from proxy.model import Headers, Reply, RequestHead

def plain_head(
    data: bytes | bytearray,
    peer: str,
    head: type[RequestHead],
    head_bytes: int,
    header_count: int,
    value_bytes: int,
    body_bytes: int,
    /,
) -> tuple[RequestHead, int, int] | None: ...
def plain_reply(data: bytes, reply: type[Reply], /) -> Reply | None: ...
def joined_answer(beginning: bytes, headers: Headers, left_out: frozenset[bytes], end: bytes, body: bytes, /) -> bytes: ...
def plainly_fits(plan: tuple[object, ...] | None, value: object, /) -> bool: ...
