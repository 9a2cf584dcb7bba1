"""A mixed load for locust, to be put on the demo: `qantara demo`, then

`locust -f benchmarks/locustfile.py --host http://127.0.0.1:8080 --headless -u 100 -r 20 -t 30s`

Visitors keep their connection, read much, upload some, wait for a slow page, at times come back on a new
connection and now and then send a request that is wrong. A wrong request that is refused with a 4xx is a
success; every other status from 400 on, and an upload that does not come back as it was sent, is a failure
(locust then ends with 1).
"""

from __future__ import annotations

import random

from locust import FastHttpUser, between, task

HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "application/json, text/html;q=0.9, */*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.7,ar;q=0.3",
}
UPLOADS = (16, 1024, 64 * 1024)


class Visitor(FastHttpUser):
    """Someone who reads pages, sends a form and mistypes an address."""

    wait_time = between(0.02, 0.2)

    @task(40)
    def read(self) -> None:
        item = random.randrange(1000)
        self.client.get(f"/items/{item}?page=1", headers=HEADERS, name="GET /items/[id]")

    @task(10)
    def upload(self) -> None:
        body = random.randbytes(random.choice(UPLOADS) // 2).hex()
        with self.client.post("/echo", data=body, headers=HEADERS, catch_response=True) as response:
            if response.status_code == 200 and response.text != body:
                response.failure("the body did not come back as it was sent")

    @task(3)
    def wait(self) -> None:
        self.client.get("/slow?seconds=0.2", headers=HEADERS, name="GET /slow")

    @task(3)
    def come_back(self) -> None:
        self.client.get("/", headers={**HEADERS, "Connection": "close"}, name="GET / (new connection)")

    @task(1)
    def mistype(self) -> None:
        # an encoded NUL: the client library leaves it as it is, and the proxy refuses it
        with self.client.get("/%00", headers=HEADERS, name="GET (wrong)", catch_response=True) as response:
            if 400 <= response.status_code < 500:
                response.success()
            else:
                response.failure(f"a wrong target was answered with {response.status_code}")
