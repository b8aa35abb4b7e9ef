"""Stands for Telegram where only our own speed is measured: says yes to everything at once.

python -m benchmarks.telegram PORT
"""

import asyncio
import json
import sys

from benchmarks.client import END, complete

BOT = {"id": 1, "is_bot": True, "first_name": "Bench", "username": "bench_bot"}
CHAT = {"id": 100000031, "type": "private", "first_name": "Анна"}
MESSAGE = {"message_id": 1, "date": 1700000000, "chat": CHAT, "from": BOT, "text": "ok"}


def _answer(method: str) -> bytes:
    results: dict[str, object] = {"getMe": BOT, "sendMessage": MESSAGE, "editMessageText": MESSAGE}
    body = json.dumps({"ok": True, "result": results.get(method, True)}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + END + body


class _Telegram(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while END in self.data:
            has_length = b"content-length:" in self.data.split(END, 1)[0].lower()
            whole = complete(self.data) if has_length else self.data.find(END) + len(END)
            if whole is None:
                return
            path = self.data.split(b" ", 2)[1].decode()
            self.data = self.data[whole:]
            self.transport.write(_answer(path.rsplit("/", 1)[-1]))


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Telegram, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
